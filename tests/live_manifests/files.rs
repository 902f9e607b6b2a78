//! What happens to files besides being written to.
