"""Steering under constraints: parameters that are given, constant or cheap; found by optimisation through the flow."""
