"""People of the demo: two owners, a customer with a key, an operator. Run as often as you like."""

from dataclasses import dataclass

from accounts.api_keys import keys as api_keys
from accounts.models import Organization, Scope, User
from accounts.owners import registration
from billing.rates import cards as rates
from marketplace.local.demo import store

OWNERS = {"alice@demo.example": "Alice Meyer", "bob@demo.example": "Bob Okafor"}
CUSTOMER, ORGANIZATION = "acme@demo.example", "Acme Research"
OPERATOR = "opal@demo.example"


@dataclass(frozen=True)
class Seeded:
    passwords: dict[str, str]
    api_key: str
    organization: Organization

    def lines(self) -> list[str]:
        """Who can sign in, for the terminal."""
        roles = {**dict.fromkeys(OWNERS, "owner"), CUSTOMER: "customer", OPERATOR: "operator"}
        width = max(map(len, self.passwords))
        return [f"{email:<{width}}  {word}  ({roles[email]})" for email, word in self.passwords.items()]


def seed() -> Seeded:
    """Make what is not there yet."""
    for email, name in OWNERS.items():
        registration.register_owner(user=_user(email, name), name=name)
    customer = _user(CUSTOMER, ORGANIZATION)
    organization = registration.register_organization(user=customer, name=ORGANIZATION)
    registration.register_operator(user=_user(OPERATOR, "Opal Lind"))
    rates.default_rates()
    passwords = {email: store.password_of(email) for email in (*OWNERS, CUSTOMER, OPERATOR)}
    return Seeded(passwords, _api_key(organization, customer), organization)


def _user(email: str, name: str) -> User:
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email, store.password_of(email), name=name)
    elif not user.check_password(store.password_of(email)):
        user.set_password(store.password_of(email))
        user.save(update_fields=["password"])
    return user


def _api_key(organization: Organization, actor: User) -> str:
    values = store.load()
    text = str(values.get("api_key", ""))
    key = api_keys.find(text) if text else None
    if key is not None and key.organization_id == organization.pk:
        return text
    _, text = api_keys.create_api_key(
        organization=organization, name="demo", scopes=list(Scope.values), expires_days=90, actor=actor
    )
    store.save({**store.load(), "api_key": text})
    return text
