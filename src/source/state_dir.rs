//! temp
use crate::model::allocate::Allocations;
use std::path::Path;
#[derive(Debug, thiserror::Error)]
#[error("state")]
/// x
pub struct StateError;
/// x
#[derive(Debug)]
pub struct StateDir;
/// x
#[derive(Debug, Clone, Copy)]
pub enum LockMode {
    /// x
    ReadOnly,
    /// x
    Exclusive,
}
impl StateDir {
    /// x
    pub fn open(_: &Path, _: LockMode) -> Result<Self, StateError> {
        Ok(Self)
    }
    /// x
    pub fn read(&self) -> Result<Allocations, StateError> {
        Ok(Allocations::default())
    }
    /// x
    pub fn write(&self, _: &Allocations) -> Result<(), StateError> {
        Ok(())
    }
}
