"""The program in the car: keeps the owner's rules, runs leased units in a sandbox, reports what it did."""
