//! Chunks of an HDF5 file that is laid out anew.

use bytes::Bytes;

use crate::layout::scan::{Addresses, Placement};
use crate::model::chunk::{BadChunk, ChunkMap, ChunkRecipe, ChunkSource, Container, Initializer, Rows, Unmade};
use crate::model::elements::Elements;
use crate::model::extents::Extents;
use crate::model::hierarchy::ObjectId;
use crate::model::pipeline::Pipeline;

/// The chunks of one version of a file.
#[derive(Debug)]
pub(super) struct Hdf5Chunks {
    container: Container,
    datasets: Vec<Option<(Placement, ChunkRecipe)>>,
    addresses: Addresses,
}

impl Hdf5Chunks {
    /// The chunks that lie in `container` as `placements`, by object number, say.
    pub(super) fn new(container: Container, placements: Vec<Option<Placement>>, addresses: Addresses) -> Hdf5Chunks {
        let recipe = |placement: &Placement| ChunkRecipe {
            grid: placement.grid.clone(),
            raw_len: Some(placement.raw_len),
            decode: Pipeline { steps: placement.usual_steps() },
        };
        let datasets = placements.into_iter().map(|placement| {
            placement.map(|placement| {
                let recipe = recipe(&placement);
                (placement, recipe)
            })
        });
        Hdf5Chunks { container, datasets: datasets.collect(), addresses }
    }

    fn dataset(&self, id: ObjectId) -> Option<&(Placement, ChunkRecipe)> {
        self.datasets.get(id.0 as usize)?.as_ref()
    }

    /// The range and the filter mask of a chunk.
    fn chunk(&self, dataset: ObjectId, coordinates: &[u64]) -> Option<(std::ops::Range<u64>, u32)> {
        let (placement, _) = self.dataset(dataset)?;
        placement.chunk(placement.grid.number(coordinates)?)
    }
}

impl ChunkMap for Hdf5Chunks {
    fn recipe(&self, dataset: ObjectId) -> Option<&ChunkRecipe> {
        Some(&self.dataset(dataset)?.1)
    }

    fn locate(&self, dataset: ObjectId, coordinates: &[u64]) -> ChunkSource {
        match self.chunk(dataset, coordinates) {
            Some((range, _)) => ChunkSource::Range(self.container.location.clone(), range),
            None => ChunkSource::Fill,
        }
    }

    fn table_row(&self, _: ObjectId, _: ObjectId, _: &[u8], _: &Rows, _: u64) -> Result<ChunkSource, BadChunk> {
        Err(BadChunk { at: 0, reason: "the dataset has no chunk table".to_owned() })
    }

    fn described(&self, _: ObjectId) -> Option<std::time::SystemTime> {
        Some(self.container.modified)
    }

    fn exception(&self, dataset: ObjectId, coordinates: &[u64]) -> Option<Pipeline> {
        let (placement, recipe) = self.dataset(dataset)?;
        if placement.filters.is_empty() {
            return None;
        }
        let (_, mask) = placement.chunk(placement.grid.number(coordinates)?)?;
        let steps = placement.steps(mask).ok().filter(|_| mask != 0)?;
        (steps != recipe.decode.steps).then_some(Pipeline { steps })
    }

    fn weight(&self) -> u64 {
        let lists = self.datasets.iter().flatten().map(|(placement, _)| placement.weight());
        lists.fold(self.addresses.weight(), u64::saturating_add)
    }

    fn container(&self) -> Option<&Container> {
        Some(&self.container)
    }

    fn elements(&self, dataset: ObjectId, plain: Bytes) -> Result<Elements, BadChunk> {
        let elsewhere = "values that lie in another place of the file".to_owned();
        self.elements_beside(dataset, plain, &Extents::new(self.container.size)).map_err(|unmade| match unmade {
            Unmade::Bad(bad) => bad,
            Unmade::Elsewhere(_) => BadChunk { at: 0, reason: elsewhere },
        })
    }

    fn elements_beside(&self, dataset: ObjectId, plain: Bytes, beside: &Extents) -> Result<Elements, Unmade> {
        let none = || Unmade::Bad(BadChunk { at: 0, reason: "it belongs to no dataset".to_owned() });
        let (placement, _) = self.dataset(dataset).ok_or_else(none)?;
        self.addresses.elements(placement, &plain, beside).map_err(|(bad, missing)| match missing.is_empty() {
            true => Unmade::Bad(bad),
            false => Unmade::Elsewhere(missing),
        })
    }

    fn compute(&self, _: ObjectId, _: &[u64], _: &Initializer) -> Result<Bytes, BadChunk> {
        Err(BadChunk { at: 0, reason: "nothing computes it".to_owned() })
    }
}
