"""The people of the showcase: three owners, a customer with an API key, two operators. Run as often as you like."""

from dataclasses import dataclass

from accounts.models import Organization, Owner, User
from accounts.owners import registration
from marketplace.local.demo import seed, store

OWNERS = {
    "carla@demo.example": "Carla Nowak",
    "deniz@demo.example": "Deniz Kaya",
    "emil@demo.example": "Emil Berg",
}
CUSTOMER, ORGANIZATION = "borealis@demo.example", "Borealis Robotics"
OPERATORS = {seed.OPERATOR: seed.OPERATOR_NAME, "otto@demo.example": "Otto Vance"}  # what needs two can be tried


@dataclass(frozen=True)
class Cast:
    """The people as rows of the site."""

    owners: dict[str, Owner]
    organization: Organization
    customer: User
    operators: list[User]


def seeded() -> Cast:
    """Make who is not there yet, and return all."""
    owners = {
        email: registration.register_owner(user=seed.user(email, name), name=name) for email, name in OWNERS.items()
    }
    customer = seed.user(CUSTOMER, ORGANIZATION)
    organization = registration.register_organization(user=customer, name=ORGANIZATION)
    operators = [seed.user(email, name) for email, name in OPERATORS.items()]
    for operator in operators:
        registration.register_operator(user=operator)
    seed.api_key(organization, customer, kept_as=store.SHOWCASE_KEY)
    return Cast(owners, organization, customer, operators)


def password_of(email: str) -> str:
    """Return the password that the home folder keeps for this person."""
    return store.password_of(email)


def sign_ins(url: str, stripe_url: str) -> list[str]:
    """Return the lines for the terminal: who can sign in with what, and the other addresses."""
    roles = {**dict.fromkeys(OWNERS, "owner"), CUSTOMER: "customer", **dict.fromkeys(OPERATORS, "operator")}
    rows = [(role, email, store.password_of(email)) for email, role in roles.items()]
    rows += [(f"{role}, make demo", email, word) for role, email, word in _of_the_demo()]
    role_width, email_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"Sign in at {url}/accounts/login/ as", ""]
    lines += [f"  {role:<{role_width}}  {email:<{email_width}}  {word}" for role, email, word in rows]
    others = [
        ("Operations", f"{url}/operations/", "for the operators"),
        ("Mails", f"{url}/mails/", "all that the site would have sent"),
        ("API", f"{url}/api/docs", ""),
        ("API key", store.load().get(store.SHOWCASE_KEY, ""), f"of {ORGANIZATION}"),
    ]
    if stripe_url:
        others.append(("Fake Stripe", f"{stripe_url}/", "card 4242 4242 4242 4242 pays"))
    width = max(len(name) for name, _, _ in others)
    return [*lines, "", *(f"{name:<{width}}  {value}  {note}".rstrip() for name, value, note in others)]


def _of_the_demo() -> list[tuple[str, str, str]]:
    """Return (role, address, password) of the people whom `make demo` made in this home folder."""
    roles = {**dict.fromkeys(seed.OWNERS, "owner"), seed.CUSTOMER: "customer"}
    passwords = store.load().get("passwords", {})
    return [(role, email, passwords[email]) for email, role in roles.items() if email in passwords]
