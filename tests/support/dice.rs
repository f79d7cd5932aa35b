//! Random choices from a seed: the same seed makes the same case on every machine.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded source of choices.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A new source whose choices do not depend on how many this one has made since.
    pub fn split(&mut self) -> Dice {
        Dice::new(self.0.random())
    }

    /// True this often; `p` is between 0 and 1.
    pub fn chance(&mut self, p: f64) -> bool {
        self.0.random_bool(p)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        self.0.random_range(low..=high)
    }

    /// One of these; there must be one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        items.choose(&mut self.0).expect("something to pick from")
    }

    /// An index below `len`, each as often as its weight says.
    pub fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut roll = self.0.random_range(0..weights.iter().sum::<usize>());
        weights
            .iter()
            .position(|&weight| {
                let hit = roll < weight;
                roll = roll.saturating_sub(weight);
                hit
            })
            .expect("the roll is below the sum")
    }

    /// The items in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        use rand::seq::SliceRandom;
        items.shuffle(&mut self.0);
    }

    /// Each of these with probability `p`, in order.
    pub fn some<T: Clone>(&mut self, items: &[T], p: f64) -> Vec<T> {
        items.iter().filter(|_| self.chance(p)).cloned().collect()
    }
}
