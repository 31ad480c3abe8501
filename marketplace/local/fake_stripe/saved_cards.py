"""Saved cards: setup intents and payment methods."""

from marketplace.local.fake_stripe.errors import ApiError, missing
from marketplace.local.fake_stripe.forms import Form
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.section import PAGE, Route, Section, refuse_unknown


class SavedCards(Section):
    """The API's routes for setup intents and payment methods."""

    def make_routes(self) -> list[Route]:
        return [
            ("GET", r"/v1/setup_intents", self.list_setups),
            ("GET", r"/v1/setup_intents/(?P<object_id>\w+)", self.getter("setup_intent")),
            ("GET", r"/v1/payment_methods", self.list_methods),
            ("GET", r"/v1/payment_methods/(?P<object_id>\w+)", self.getter("payment_method")),
            ("POST", r"/v1/payment_methods/(?P<object_id>\w+)/detach", self.detach),
        ]

    def list_setups(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"customer", "payment_method"})
        return self.page("setup_intent", "/v1/setup_intents", params, ("customer", "payment_method"))

    def list_methods(self, params: Form) -> Object:
        refuse_unknown(params, PAGE - {"created"} | {"customer", "type"})
        return self.page("payment_method", "/v1/payment_methods", params, ("customer", "type"))

    def detach(self, params: Form, object_id: str) -> Object:
        """Detach a payment method from its customer. As at Stripe, it can never be attached again."""
        refuse_unknown(params, {"expand"})
        method = self.store.get(object_id, "payment_method")
        if method is None:
            raise missing(object_id, "PaymentMethod")
        if method["customer"] is None:
            raise ApiError(
                400,
                "The payment method you provided is not attached to a customer so detachment is impossible.",
                param="payment_method",
            )
        method["customer"] = None
        return self.emitter.changed("payment_method.detached", method)
