"""The table of signatures, by what they are about; `table.SIGNATURES` holds all of them."""
