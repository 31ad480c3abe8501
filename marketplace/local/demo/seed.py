"""People of the demo: two owners, a customer with a key, an operator. May run any number of times."""

from dataclasses import dataclass

from accounts.api_keys import keys as api_keys
from accounts.models import Organization, Scope, User
from accounts.owners import registration
from billing.rates import cards as rates
from marketplace.local.demo import store

OWNERS = {"alice@demo.example": "Alice Meyer", "bob@demo.example": "Bob Okafor"}
CUSTOMER, ORGANIZATION = "acme@demo.example", "Acme Research"
OPERATOR, OPERATOR_NAME = "opal@demo.example", "Opal Lind"


@dataclass(frozen=True)
class Seeded:
    passwords: dict[str, str]
    api_key: str
    organization: Organization

    def lines(self) -> list[str]:
        """Return lines for the terminal: who can sign in."""
        roles = {**dict.fromkeys(OWNERS, "owner"), CUSTOMER: "customer", OPERATOR: "operator"}
        width = max(map(len, self.passwords))
        return [f"{email:<{width}}  {word}  ({roles[email]})" for email, word in self.passwords.items()]


def seed() -> Seeded:
    """Create the people who do not exist yet, and return them."""
    for email, name in OWNERS.items():
        registration.register_owner(user=user(email, name), name=name)
    customer = user(CUSTOMER, ORGANIZATION)
    organization = registration.register_organization(user=customer, name=ORGANIZATION)
    registration.register_operator(user=user(OPERATOR, OPERATOR_NAME))
    rates.default_rates()
    passwords = {email: store.password_of(email) for email in (*OWNERS, CUSTOMER, OPERATOR)}
    return Seeded(passwords, api_key(organization, customer), organization)


def user(email: str, name: str) -> User:
    """Return the user, made if needed, with the password that the home folder keeps."""
    found = User.objects.filter(email=email).first()
    if found is None:
        found = User.objects.create_user(email, store.password_of(email), name=name)
    elif not found.check_password(store.password_of(email)):
        found.set_password(store.password_of(email))
        found.save(update_fields=["password"])
    return found


def api_key(organization: Organization, actor: User, *, kept_as: str = "api_key") -> str:
    """Return the organization's API key that the home folder keeps under this name, or a new one."""
    values = store.load()
    text = str(values.get(kept_as, ""))
    key = api_keys.find(text) if text else None
    if key is not None and key.organization_id == organization.pk:
        return text
    _, text = api_keys.create_api_key(
        organization=organization, name="demo", scopes=list(Scope.values), expires_days=90, actor=actor
    )
    store.save({**store.load(), kept_as: text})
    return text
