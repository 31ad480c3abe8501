"""The style sheet of the fake's pages: plain, and clearly not Stripe's own."""

STYLE = """
:root{color-scheme:light dark;--line:#8886}
*{box-sizing:border-box}body{margin:0;font:1rem/1.5 system-ui,sans-serif}
.banner{margin:0;padding:.6rem 1rem;background:#7a2e0b;color:#fff;font-size:.875rem;text-align:center}
h2{margin:0;font-size:1.1rem}main{max-width:34rem;margin:2rem auto;padding:0 1rem;display:grid;gap:1rem}
h1{margin:0;font-size:1.4rem}
.amount{margin:0;font-size:2rem;font-weight:700}
fieldset{border:1px solid var(--line);border-radius:6px;padding:.5rem 1rem}
.choice{display:flex;gap:.75rem;align-items:baseline;padding:.5rem 0}.choice code{white-space:nowrap}
button{min-height:2.75rem;padding:.5rem 1.25rem;border:0;border-radius:6px;background:#22456b;color:#fff;font:inherit}
button.plain{background:none;color:inherit;border:1px solid var(--line)}form{display:grid;gap:1rem}
td form{display:inline-block;margin:.15rem .25rem .15rem 0}
.problem{margin:0;padding:.75rem 1rem;border-left:4px solid #b3261e;background:#b3261e22}
.wide{overflow-x:auto}section{min-width:0;display:grid;gap:.5rem}
main:has(.wide){max-width:56rem;grid-template-columns:minmax(0,1fr)}
@media (min-width:48rem){.wide td:not(:last-child){white-space:nowrap}}
table{width:100%;border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;padding:.4rem .5rem;border-bottom:1px solid var(--line)}
"""
