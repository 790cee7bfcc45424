"""The numbers of a run: Table 1, the comparison of two runs, published figures. No markup."""
