"""The acts on money that need two operators: how each one's parameters are checked, and how it is summarised and done.

Of each group of functions below, `_..._params` checks a proposal's parameters and returns those to keep, `_..._summary`
describes the act in one line for the second operator, and the rest carry it out inside the approving transaction.
"""

from collections.abc import Callable

from accounts.models import Organization, Owner, User
from billing.approvals.kinds import ApprovalKind, Params, amount_of, find_subject
from billing.chargebacks import chargebacks
from billing.disputes import decisions as dispute_decisions
from billing.models import Approval, CardDispute, Dispute, Payout, RatedUsage, Refund, TopUp
from billing.orders import voids
from billing.payouts import payouts, reversals
from billing.refunds import refunds, resolutions
from billing.wallet import adjustments, promo_credits, wallets
from core.errors import NotFound
from core.locale import format_money
from core.workers import wake

# --- customers ----------------------------------------------------------------------------------------------------


def _customer_params(params: Params) -> Params:
    return {
        "organization": str(find_subject(Organization, params, "organization").public_id),
        "amount_micro": amount_of(params),
    }


def _customer_adjustment_params(params: Params) -> Params:
    organization = find_subject(Organization, params, "organization")
    return {"organization": str(organization.public_id), "amount_micro": amount_of(params, signed=True)}


def _customer_summary(verb: str) -> Callable[[Params], str]:
    def summary(params: Params) -> str:
        organization = find_subject(Organization, params, "organization")
        return f"{verb} {format_money(params['amount_micro'], organization.currency)}: {organization.name}"

    return summary


def _bank_top_up_params(params: Params) -> Params:
    reference = wallets.clean_reference(str(params.get("reference", "")))
    wallets.require_unused(reference)
    return {**_customer_params(params), "reference": reference}


def _bank_top_up_summary(params: Params) -> str:
    return f"{_customer_summary('Credit a bank transfer of')(params)}, reference {params['reference']}"


def _bank_top_up(approval: Approval, actor: User) -> None:
    wallets.top_up(
        organization=find_subject(Organization, approval.params, "organization"),
        amount_micro=approval.params["amount_micro"],
        method=TopUp.Method.MANUAL,
        reference=approval.params["reference"],
        actor=actor,
        idempotency_key=f"approval:{approval.public_id}",  # as for all acts below: an approval is carried out once
    )


def _refund(approval: Approval, actor: User) -> None:
    refunds.request(
        organization=find_subject(Organization, approval.params, "organization"),
        reason=approval.reason[:200],
        actor=actor,
        amount_micro=approval.params["amount_micro"],
        idempotency_key=f"approval:{approval.public_id}",
    )


def _grant_promo_credit(approval: Approval, actor: User) -> None:
    promo_credits.grant(
        organization=find_subject(Organization, approval.params, "organization"),
        reason=approval.reason[:200],
        actor=actor,
        amount_micro=approval.params["amount_micro"],
        idempotency_key=f"approval:{approval.public_id}",
    )


def _adjust_customer(approval: Approval, actor: User) -> None:
    adjustments.adjust_customer(
        organization=find_subject(Organization, approval.params, "organization"),
        note=approval.reason[:200],
        actor=actor,
        amount_micro=approval.params["amount_micro"],
        idempotency_key=f"adjustment:{approval.public_id}",
    )


def _refund_resolution_params(params: Params) -> Params:
    refund = find_subject(Refund, params, "refund")
    resolutions.require_given_up(refund)
    return {"refund": str(refund.public_id)}


def _refund_resolution_summary(params: Params) -> str:
    refund = find_subject(Refund, params, "refund")
    amount_text = format_money(refund.amount_micro, refund.currency)
    return f"Settle refund of {amount_text} as Stripe has it: {refund.organization.name}"


def _resolve_refund(approval: Approval, actor: User) -> None:
    """Wake the worker that settles the refund. It must ask Stripe first, which no transaction may do."""
    resolutions.require_given_up(find_subject(Refund, approval.params, "refund"))
    wake(resolutions.TASK)


# --- owners ----------------------------------------------------------------------------------------------------


def _owner_adjustment_params(params: Params) -> Params:
    return {
        "owner": str(find_subject(Owner, params, "owner").public_id),
        "amount_micro": amount_of(params, signed=True),
    }


def _owner_adjustment_summary(params: Params) -> str:
    """Name the owner by id only: the summary is kept longer than the owner's personal data may be."""
    owner = find_subject(Owner, params, "owner")
    return f"Adjust by {format_money(params['amount_micro'], owner.currency)}: owner {owner.public_id}"


def _adjust_owner(approval: Approval, actor: User) -> None:
    owner = find_subject(Owner, approval.params, "owner")
    adjustments.adjust_owner(
        owner=owner,
        currency=owner.currency,
        amount_micro=approval.params["amount_micro"],
        actor=actor,
        note=approval.reason[:200],
        idempotency_key=f"adjustment:{approval.public_id}",
    )


# --- payouts ----------------------------------------------------------------------------------------------------


def _payout_params(params: Params) -> Params:
    return {"payout": str(find_subject(Payout, params, "payout").public_id)}


def _payout_summary(verb: str) -> Callable[[Params], str]:
    def summary(params: Params) -> str:
        payout = find_subject(Payout, params, "payout")
        return f"{verb} payout of {format_money(payout.amount_micro, payout.currency)}, {payout.public_id}"

    return summary


def _payout_act(act: Callable[..., object], *, with_reason: bool = True) -> Callable[[Approval, User], object]:
    def do(approval: Approval, actor: User) -> object:
        reason = {"reason": approval.reason[:200]} if with_reason else {}
        return act(payout=find_subject(Payout, approval.params, "payout"), actor=actor, **reason)

    return do


def _reversal_params(params: Params) -> Params:
    cause = str(params.get("cause", "")).strip()
    reversals.check_cause(cause)
    return {**_payout_params(params), "cause": cause}


def _reversal_summary(params: Params) -> str:
    return f"{_payout_summary('Take back')(params)}: {Payout.Cause(params['cause']).label.lower()}"


def _reverse_payout(approval: Approval, actor: User) -> object:
    payout, cause = find_subject(Payout, approval.params, "payout"), approval.params["cause"]
    return payouts.reverse(payout=payout, actor=actor, reason=approval.reason[:200], cause=cause)


# --- disputes and usage -----------------------------------------------------------------------------------------------


def _write_off_params(params: Params) -> Params:
    return {"card_dispute": str(find_subject(CardDispute, params, "card_dispute").public_id)}


def _write_off_summary(params: Params) -> str:
    dispute = find_subject(CardDispute, params, "card_dispute")
    return f"Write off what {dispute.organization.name} owes for {dispute.stripe_id}"


def _write_off(approval: Approval, actor: User) -> object:
    return chargebacks.write_off(dispute=find_subject(CardDispute, approval.params, "card_dispute"), actor=actor)


def _void_params(params: Params) -> Params:
    try:
        rated = RatedUsage.objects.get(pk=int(params.get("rated", "")))
    except (ValueError, RatedUsage.DoesNotExist) as error:
        raise NotFound("There is no rating with this number.") from error
    return {"rated": rated.pk}


def _void_summary(params: Params) -> str:
    rated = RatedUsage.objects.select_related("order__rate_card").get(pk=params["rated"])
    charged = format_money(rated.charged_micro, rated.order.rate_card.currency)
    return f"Void rating {rated.pk}, charged {charged}"


def _void(approval: Approval, actor: User) -> object:
    rated = RatedUsage.objects.get(pk=approval.params["rated"])
    return voids.void(rated=rated, reason=approval.reason[:200], actor=actor)


def _decision_params(params: Params) -> Params:
    dispute = find_subject(Dispute, params, "dispute")
    granted = amount_of(params)
    bearer, decision = str(params.get("bearer", "")), str(params.get("decision", "")).strip()
    dispute_decisions.check(dispute=dispute, granted_micro=granted, bearer=bearer, decision=decision)
    return {"dispute": str(dispute.public_id), "amount_micro": granted, "bearer": bearer, "decision": decision}


def _decision_summary(params: Params) -> str:
    dispute = find_subject(Dispute, params, "dispute")
    granted = format_money(params["amount_micro"], dispute.currency)
    claimed = format_money(dispute.claimed_micro, dispute.currency)
    return f"Uphold dispute {dispute.public_id}: grant {granted} of {claimed}, borne by the {params['bearer']}"


def _uphold_dispute(approval: Approval, actor: User) -> object:
    params = approval.params
    return dispute_decisions.uphold(
        dispute=find_subject(Dispute, params, "dispute"),
        granted_micro=params["amount_micro"],
        bearer=params["bearer"],
        decision=params["decision"],
        actor=actor,
    )


Kind = Approval.Kind
KINDS: dict[str, ApprovalKind] = {
    Kind.BANK_TOP_UP: ApprovalKind(_bank_top_up_params, _bank_top_up_summary, _bank_top_up),
    Kind.RESOLVE_REFUND: ApprovalKind(_refund_resolution_params, _refund_resolution_summary, _resolve_refund),
    Kind.REFUND: ApprovalKind(_customer_params, _customer_summary("Refund"), _refund),
    Kind.PROMO_CREDIT: ApprovalKind(_customer_params, _customer_summary("Promotional credit of"), _grant_promo_credit),
    Kind.ADJUST_CUSTOMER: ApprovalKind(
        _customer_adjustment_params, _customer_summary("Adjust the wallet by"), _adjust_customer
    ),
    Kind.ADJUST_OWNER: ApprovalKind(_owner_adjustment_params, _owner_adjustment_summary, _adjust_owner),
    Kind.HOLD_PAYOUT: ApprovalKind(_payout_params, _payout_summary("Hold"), _payout_act(payouts.hold)),
    Kind.RELEASE_PAYOUT: ApprovalKind(
        _payout_params, _payout_summary("Release"), _payout_act(payouts.release, with_reason=False)
    ),
    Kind.RETURN_PAYOUT: ApprovalKind(
        _payout_params, _payout_summary("Return to the owner's balance"), _payout_act(payouts.return_to_balance)
    ),
    Kind.RESEND_PAYOUT: ApprovalKind(
        _payout_params,
        _payout_summary("Ask Stripe again for the"),
        _payout_act(payouts.schedule_again, with_reason=False),
    ),
    Kind.REVERSE_PAYOUT: ApprovalKind(_reversal_params, _reversal_summary, _reverse_payout),
    Kind.WRITE_OFF: ApprovalKind(_write_off_params, _write_off_summary, _write_off),
    Kind.VOID_USAGE: ApprovalKind(_void_params, _void_summary, _void),
    Kind.DECIDE_DISPUTE: ApprovalKind(_decision_params, _decision_summary, _uphold_dispute),
}
