use creamery_nn::Subnet;

/// Exponential moving average of a network's weights and running statistics.
///
/// The decay starts low, `min(decay, (1 + updates) / (10 + updates))` as TensorFlow's moving average
/// has it, so that short trainings do not average over their own initialisation.
#[derive(Clone, Debug)]
pub struct Ema {
    decay: f64,
    updates: u64,
    average: Subnet,
}

impl Ema {
    /// Starts from the weights of `net` after `updates` earlier updates (0 for a new training).
    pub fn new(net: &Subnet, decay: f64, updates: u64) -> Self {
        Self {
            decay,
            updates,
            average: net.clone(),
        }
    }

    /// Moves the average towards `net`, which must be of the same architecture.
    pub fn update(&mut self, net: &Subnet) {
        let n = self.updates as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        self.updates += 1;
        self.average.average_in(net, decay);
    }

    /// The averaged network.
    pub fn network(&self) -> &Subnet {
        &self.average
    }

    /// How many updates it has seen.
    pub fn updates(&self) -> u64 {
        self.updates
    }
}
