"""What users and plugin authors test with: suites, rigs, the virtual clock."""
