"""The people of the showcase: three owners, a customer with an API key, two operators. May run any number of times."""

from dataclasses import dataclass

from accounts.models import Organization, Owner, User
from accounts.owners import registration
from marketplace.local.demo import seed, store
from marketplace.local.showcase.sign_ins import CUSTOMER, OPERATORS, ORGANIZATION, OWNERS


@dataclass(frozen=True)
class People:
    """The people as rows of the site."""

    owners: dict[str, Owner]
    organization: Organization
    customer: User
    operators: list[User]


def seed_people() -> People:
    """Create the people who do not exist yet, and return all."""
    owners = {
        email: registration.register_owner(user=seed.user(email, name), name=name) for email, name in OWNERS.items()
    }
    customer = seed.user(CUSTOMER, ORGANIZATION)
    organization = registration.register_organization(user=customer, name=ORGANIZATION)
    operators = [seed.user(email, name) for email, name in OPERATORS.items()]
    for operator in operators:
        registration.register_operator(user=operator)
    seed.api_key(organization, customer, kept_as=store.SHOWCASE_KEY)
    return People(owners, organization, customer, operators)
