"""Who can sign in, as lines for the terminal. It imports no Django, so that they can be printed at once."""

from marketplace.local.demo import store

OWNERS = {
    "carla@demo.example": "Carla Nowak",
    "deniz@demo.example": "Deniz Kaya",
    "emil@demo.example": "Emil Berg",
}
CUSTOMER, ORGANIZATION = "borealis@demo.example", "Borealis Robotics"
OPERATORS = {"opal@demo.example": "Opal Lind", "otto@demo.example": "Otto Vance"}  # two, because some acts need two
DEMO_EMAILS = ("alice@demo.example", "bob@demo.example", "acme@demo.example")


def are_known() -> bool:
    """Return whether the people were made in an earlier run."""
    return store.SHOWCASE_KEY in store.load()


def show(url: str, stripe_url: str) -> None:
    """Print who can sign in, and the other addresses."""
    print("\n".join(["", *lines(url, stripe_url), ""]), flush=True)


def lines(url: str, stripe_url: str) -> list[str]:
    """Return the lines for the terminal: who can sign in with what, and the other addresses."""
    roles = {**dict.fromkeys(OWNERS, "owner"), CUSTOMER: "customer", **dict.fromkeys(OPERATORS, "operator")}
    rows = [(role, email, store.password_of(email)) for email, role in roles.items()]
    rows += [(f"{role}, make demo", email, word) for role, email, word in _of_the_demo()]
    role_width, email_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    text = [f"Sign in at {url}/accounts/login/ as", ""]
    text += [f"  {role:<{role_width}}  {email:<{email_width}}  {word}" for role, email, word in rows]
    others = [
        ("Operations", f"{url}/operations/", "for the operators"),
        ("Mails", f"{url}/mails/", "mails that the site would have sent"),
        ("API", f"{url}/api/docs", "with the API key below"),
    ]
    if stripe_url:
        others.append(("Fake Stripe", f"{stripe_url}/", "card 4242 4242 4242 4242 pays"))
    name_width, address_width = (max(len(row[column]) for row in others) for column in (0, 1))
    text += ["", *(f"{name:<{name_width}}  {at:<{address_width}}  {note}" for name, at, note in others)]
    return [*text, "", f"API key of {ORGANIZATION}: {store.load().get(store.SHOWCASE_KEY, '')}"]


def _of_the_demo() -> list[tuple[str, str, str]]:
    """Return (role, address, password) of the people whom `make demo` made in this home folder."""
    passwords = store.load().get("passwords", {})
    roles = {**dict.fromkeys(DEMO_EMAILS, "owner"), DEMO_EMAILS[-1]: "customer"}
    return [(role, email, passwords[email]) for email, role in roles.items() if email in passwords]
