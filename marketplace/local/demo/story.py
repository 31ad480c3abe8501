"""The steps of the demo in their order: people, cars, job, incidents, result, report."""

from contextlib import ExitStack
from pathlib import Path

from compute.models import InferenceJob
from compute.reasons import sentence
from marketplace.local.demo import comparison, fleet, money, receipts, report
from marketplace.local.demo.customer import Customer
from marketplace.local.demo.fleet import CARS, Car
from marketplace.local.demo.incidents import STOP_LIMIT_S, Incident
from marketplace.local.demo.job import UNIT_ITEMS, JobRun
from marketplace.local.demo.magika_files import MagikaModel, collect
from marketplace.local.demo.owner import Portal
from marketplace.local.demo.report import Report
from marketplace.local.demo.seed import Seeded, seed
from marketplace.local.demo.waiting import wait_until
from marketplace.local.embedded.stack import Stack

READY_TIMEOUT_S = 60.0


def run_demo(stack: Stack, home: Path, files: int) -> bool:
    out = Report()
    people = seed()
    _introduce(stack, people)
    with ExitStack() as closing:
        portals = {email: Portal.sign_in(stack.url, email, people.passwords[email]) for email in _owners()}
        cars = _start_cars(stack, home, portals, closing)
        out.line("\nThe job")
        model = MagikaModel.shipped()
        paths, features = collect(model, files)
        out.line(
            f"  {len(paths)} real files, {len({p.suffix for p in paths})} suffixes, features {features.dtype} {features.shape}"
        )
        customer = Customer(stack.url, people.api_key)
        money.top_up(customer)
        money.ask_price()
        closing.callback(money.restore_prices)
        run = JobRun(customer, model, cars, portals)
        run.submit(features)
        run.watch()
        _result(out, comparison.compare(model, paths, features, run.result(), unit=UNIT_ITEMS, batch=run.batch))
        _report(out, run, cars, "NATS" if "nats" in stack.alive() else "HTTPS")
        alice = cars["alice-2"].spec.owner
        money.settle(out, customer, portals, home / "demo", stack.environment)
        receipts.verify_receipts(out, portals[alice], alice, home / "demo", stack.environment)
    return out.ok


def _owners() -> list[str]:
    return sorted({spec.owner for spec in CARS})


def _introduce(stack: Stack, people: Seeded) -> None:
    print(f"\nThe site runs at {stack.url} while the demo does. Sign in as:")
    for line in people.lines():
        print(f"  {line}")
    print(f"  API key of the customer: {people.api_key}", flush=True)


def _start_cars(stack: Stack, home: Path, portals: dict[str, Portal], closing: ExitStack) -> dict[str, Car]:
    print("\nFive cars", flush=True)
    cars = {}
    for spec in CARS:
        car = cars[spec.slug] = fleet.enrol(spec, portals[spec.owner], stack.environment, home / "agents")
        car.start(stack.environment, home / "log" / f"agent-{spec.slug}.log")
        closing.callback(car.stop)
    carrier = "nats" if "nats" in stack.alive() else "https"
    wait_until(lambda: all(_is_settled(car, carrier) for car in cars.values()), timeout_s=READY_TIMEOUT_S)
    for car in cars.values():
        status, node = car.status(), car.node
        what = sentence(status.get("withheld", "")) if status.get("withheld") else status.get("state")
        print(f"  {car.spec.label:<15} {node.hardware_class.slug:<38} link {status.get('carrier', 'none'):<6} {what}")
    return cars


def _is_settled(car: Car, carrier: str) -> bool:
    status = car.status()
    is_mine = car.agent is not None and status.get("pid") == car.agent.pid
    is_idle = status.get("state") == "idle" and status.get("carrier") == carrier
    return is_mine and bool(status.get("withheld") or is_idle)


def _result(out: Report, found: comparison.Comparison) -> None:
    out.line("\nThe result, in input order")
    out.check("complete", found.items > 0, f"{found.items} rows")
    out.check(
        f"equal to onnxruntime run in place within rtol {comparison.TOLERANCE:g}",
        found.is_within_tolerance,
        f"largest difference {found.largest_difference:.2e}",
    )
    share = found.same_model_label / found.sampled
    out.check(
        "label equals that of the model in the magika package",
        share > 0.999,
        f"{found.same_model_label}/{found.sampled}, every {comparison.EVERY}th file",
    )
    why = ", ".join(f"{count} {reason.lower()}" for reason, count in found.explained.items()) or "none differ"
    out.check(
        "label equals the package's final label, or a threshold explains the difference",
        found.unexplained <= found.sampled - found.same_model_label,
        f"{found.same_tool_label}/{found.sampled}; {why}",
    )
    out.line(f"\n  {'label':<14} {'files':>5}  examples")
    for label, count, examples in found.table:
        out.line(f"  {label:<14} {count:>5}  {examples}")


def _report(out: Report, run: JobRun, cars: dict[str, Car], carrier: str) -> None:
    job = InferenceJob.objects.get(public_id=run.job_id)
    out.line("\nReport: work")
    report.work(out, job, run.wall_s, carrier)
    for incident in run.incidents:
        _incident(out, incident)
    _refused(out, cars["alice-3"], job)
    out.line("\nReport: vehicles")
    report.vehicles(out, job)
    out.line("\nReport: money")
    report.money(out, job)
    out.line("\nReport: consent")
    report.consent(out, job)


def _incident(out: Report, incident: Incident) -> None:
    status, finisher = incident.outcome()
    wanted = "expired" if incident.kind == "kill -9" else "cancelled"
    label = incident.car.spec.label
    out.check(
        f"{incident.kind} of {label}: its attempt is {wanted}, another car finished the unit",
        status == wanted and finisher not in ("nobody", label),
        f"attempt {incident.attempt} {status}, finished by {finisher}",
    )
    out.check(f"{label} got no work afterwards", incident.attempts_after == 0)
    if incident.kind == "withdrawal":
        took = incident.stopped_after_s
        out.check(
            f"{label} stopped within {STOP_LIMIT_S:g} s of the click",
            took is not None,
            f"{took:.2f} s" if took else "did not",
        )


def _refused(out: Report, car: Car, job: InferenceJob) -> None:
    given = job.attempts.filter(vehicle=car.vehicle).count()
    reason = str(car.status().get("withheld", ""))
    out.check(f"{car.spec.label} (consent refused) got no work", given == 0 and reason == "consent_refused", reason)
