//! What happens around the rules: applying again, repairing, removing, being killed.
