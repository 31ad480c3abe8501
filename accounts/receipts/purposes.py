"""The facts about each purpose that every consent record states: which data, what for, how long and where.

Values with a colon are terms of the W3C Data Privacy Vocabulary (`pd`: categories of personal data, `gdpr`: articles of
the GDPR). With a new purpose or a changed fact, publish a new version of the purpose's notice.
"""

from typing import NamedTuple


class Data(NamedTuple):
    """One kind of personal data. `required`: the purpose is impossible without it (GDPR 13(2)(e))."""

    attribute: str
    category: str
    required: bool = True


class Facts(NamedTuple):
    """The processing for one purpose."""

    kind: str
    description: str
    service: str
    data: tuple[Data, ...]
    source: str  # where the data comes from: the person, or what the car's agent sends
    processing: tuple[str, ...]
    retention: str  # ISO 8601
    processed_at: tuple[str, ...]  # "vehicle", or "controller": its data centre
    recipients: tuple[str, ...] = ()  # third parties, see THIRD_PARTIES


AGENT, PERSON = "dpv:DataControllerDataSource", "dpv:DataSubjectDataSource"

FACTS = {
    "run_jobs": Facts(
        kind="dpv:TechnicalServiceProvision",
        description="Run customers' AI models on the car's computer while the owner's rules allow it, and pay for it.",
        service="Paid computing on parked vehicles",
        data=(
            Data("availability now, or a reason code", "pd:DeviceBased"),
            Data("work done: which job, when, how long, how much energy", "pd:DeviceBased"),
            Data("earnings and payouts", "pd:Financial"),
        ),
        source=AGENT,
        processing=("dpv:Collect", "dpv:Use", "dpv:Store"),
        retention="P7Y",  # duty to keep books and tax records
        processed_at=("vehicle", "controller"),
        recipients=("https://stripe.com",),
    ),
    "availability": Facts(
        kind="dpv:ServiceUsageAnalytics",
        description="Keep when the car was available, and why not,"
        " to forecast earnings and show which rules cost most.",
        service="Availability history and earnings forecast",
        data=(Data("spans of availability with reason codes", "pd:DeviceBased"),),
        source=AGENT,
        processing=("dpv:Collect", "dpv:Store", "dpv:Analyse"),
        retention="P90D",
        processed_at=("controller",),
    ),
    "region": Facts(
        kind="dpv:ServiceOptimisation",
        description="Keep the state or province that the owner chose,"
        " for electricity prices and distance to customers.",
        service="Prices and latency by region",
        data=(Data("state or province, as chosen by the owner", "pd:Location"),),
        source=PERSON,
        processing=("dpv:Collect", "dpv:Store", "dpv:Use"),
        retention="P365D",  # at most: the region is deleted when the consent ends
        processed_at=("controller",),
    ),
    "reliability": Facts(
        kind="dpv:ServiceOptimisation",
        description="Keep daily error counts and temperature bands of the car's computer,"
        " to notice failing hardware early.",
        service="Hardware health",
        data=(
            Data("error counts by day", "pd:DeviceBased"),
            Data("temperature bands by day", "pd:DeviceBased"),
        ),
        source=AGENT,
        processing=("dpv:Collect", "dpv:Store", "dpv:Analyse"),
        retention="P90D",
        processed_at=("controller",),
    ),
    "experiments": Facts(
        kind="dpv:ResearchAndDevelopment",
        description="Try new ways to schedule or check work on part of the fleet and measure how they do.",
        service="Measured experiments",
        data=(Data("measurements of scheduling during an experiment", "pd:DeviceBased"),),
        source=AGENT,
        processing=("dpv:Collect", "dpv:Store", "dpv:Analyse"),
        retention="P90D",
        processed_at=("vehicle", "controller"),
    ),
    "product_email": Facts(
        kind="dpv:DirectMarketing",
        description="Write a few times a year about what is new in Driveway.",
        service="News by e-mail",
        data=(
            Data("e-mail address", "pd:EmailAddress"),
            Data("name, as given at registration", "pd:Name", required=False),
        ),
        source=PERSON,
        processing=("dpv:Use",),
        retention="P365D",  # for this use; the account itself keeps the address
        processed_at=("controller",),
    ),
}

RIGHTS = {
    "gdpr:A7-3": "Withdraw this consent",
    "gdpr:A13": "Be informed",
    "gdpr:A15": "Get a copy",
    "gdpr:A16": "Have it corrected",
    "gdpr:A17": "Have it erased",
    "gdpr:A18": "Restrict its use",
    "gdpr:A20": "Take it elsewhere",
    "gdpr:A77": "Complain to an authority",
}

THIRD_PARTIES = {
    "https://stripe.com": {
        "party_id": "https://stripe.com",
        "party_name": "Stripe, Inc.",
        "party_address": "354 Oyster Point Boulevard, South San Francisco, CA 94080, USA",
        "party_contact": "https://support.stripe.com/contact",
        "party_type": "dpv:ThirdParty",
        "party_role": "dpv:Recipient",
        "url": "https://stripe.com",
    }
}
