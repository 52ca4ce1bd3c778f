"""Triggers and actions that others supply: manifest and discovery."""
