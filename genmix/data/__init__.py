"""Lesions: the `Cohort` type, where cohorts come from, checks, splits by patient."""
