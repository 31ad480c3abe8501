"""Adding usage up by day (EarningsDay, SpendDay), within the SQL statement that rates the usage or voids it."""


def daily_sums_sql(rows: str, *, sign: str = "") -> str:
    """Return the SQL of two common table expressions, `earned` and `spent`, that add usage to the sums by day.

    `rows` is the name of a table expression with the rated usage; with `sign` "-" it is subtracted. Days are locked in
    the order of their keys, and before the ledger's accounts, so that two statements cannot deadlock.
    """
    return f"""earned AS (
    INSERT INTO billing_earningsday AS d
           (owner_id, vehicle_id, currency, day, attempts, compute_ms, energy_mwh, gross_micro, energy_cost_nano,
            wear_nano)
    SELECT owner_id, vehicle_id, currency, day, {sign}count(*), {sign}sum(compute_ms), {sign}sum(energy_mwh),
           {sign}sum(owner_micro), {sign}sum(energy_cost_nano), {sign}sum(wear_nano)
      FROM {rows} GROUP BY owner_id, vehicle_id, currency, day ORDER BY owner_id, day, vehicle_id, currency
    ON CONFLICT (owner_id, day, vehicle_id, currency) DO UPDATE SET
        attempts = d.attempts + EXCLUDED.attempts, compute_ms = d.compute_ms + EXCLUDED.compute_ms,
        energy_mwh = d.energy_mwh + EXCLUDED.energy_mwh, gross_micro = d.gross_micro + EXCLUDED.gross_micro,
        energy_cost_nano = d.energy_cost_nano + EXCLUDED.energy_cost_nano, wear_nano = d.wear_nano + EXCLUDED.wear_nano
), spent AS (
    INSERT INTO billing_spendday AS d
           (organization_id, artifact_id, currency, day, units, items, compute_ms, energy_mwh, charged_micro)
    SELECT organization_id, artifact_id, currency, day, {sign}count(*), {sign}sum(items), {sign}sum(compute_ms),
           {sign}sum(energy_mwh), {sign}sum(charged_micro)
      FROM {rows} WHERE is_canonical
     GROUP BY organization_id, artifact_id, currency, day ORDER BY organization_id, day, artifact_id, currency
    ON CONFLICT (organization_id, day, artifact_id, currency) DO UPDATE SET
        units = d.units + EXCLUDED.units, items = d.items + EXCLUDED.items,
        compute_ms = d.compute_ms + EXCLUDED.compute_ms, energy_mwh = d.energy_mwh + EXCLUDED.energy_mwh,
        charged_micro = d.charged_micro + EXCLUDED.charged_micro
)"""  # noqa: S608 - constants
