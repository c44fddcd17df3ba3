//! What all requests share: the list of runs, and the runs that are looked at.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use creamery_view::record::RecordError;
use tokio::sync::{OnceCell, watch};

use crate::access::Token;
use crate::index::Index;
use crate::live::Live;
use crate::onnx::Exports;
use crate::summary::Summary;

/// How often the folders are looked at while somebody watches, and how long at least there is between two times.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Runs that are open at a time.
const MOST_LIVES: usize = 128;

/// The list of runs at one moment.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Counts the lists.
    pub(crate) version: u64,
    pub(crate) runs: Vec<Summary>,
    pub(crate) places: HashMap<String, PathBuf>,
    pub(crate) notes: Vec<String>,
    /// How many runs of how many have been looked at, the first time.
    pub(crate) reading: Option<(usize, usize)>,
}

/// Why a run cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    #[error("There is no run of this name.")]
    Unknown,
    #[error("Too many runs are looked at already: try again in a minute.")]
    Busy,
    #[error("The run cannot be read: {0}")]
    Unreadable(#[from] RecordError),
    #[error("The run could not be shown; this is a defect of the program.")]
    Defect,
}

pub(crate) struct App {
    pub(crate) root: PathBuf,
    pub(crate) token: Option<Token>,
    /// Whether only this machine can ask.
    pub(crate) loopback: bool,
    pub(crate) listing: watch::Receiver<Arc<Listing>>,
    pub(crate) exports: Exports,
    poke: SyncSender<()>,
    lives: Mutex<HashMap<String, Arc<OnceCell<Arc<Live>>>>>,
}

impl App {
    /// Begins to look at the folders of an index, in a thread that ends with the app.
    pub(crate) fn new(index: Index, token: Option<Token>, loopback: bool) -> Arc<Self> {
        let root = index.root().to_owned();
        let (sender, listing) = watch::channel(Arc::new(Listing {
            reading: Some((0, 0)),
            ..listing(&index, 1)
        }));
        let (poke, poked) = sync_channel(1);
        std::thread::spawn(move || look(index, &sender, &poked));
        Arc::new(Self {
            root,
            token,
            loopback,
            listing,
            exports: Exports::default(),
            poke,
            lives: Mutex::default(),
        })
    }

    /// The list as it is known; the folders are looked at again soon.
    pub(crate) fn list(&self) -> Arc<Listing> {
        // Full means that it has been asked for already.
        let _ = self.poke.try_send(());
        self.listing.borrow().clone()
    }

    /// A run that is looked at. It is found by its name in the list alone, so no name leads elsewhere.
    pub(crate) async fn live(self: &Arc<Self>, id: &str) -> Result<Arc<Live>, Missing> {
        let place = self
            .list()
            .places
            .get(id)
            .cloned()
            .ok_or(Missing::Unknown)?;
        let slot = self.slot(id)?;
        let opened = slot.get_or_try_init(|| async {
            let (id, root) = (id.to_owned(), self.root.clone());
            let opening = tokio::task::spawn_blocking(move || Live::open(&id, &place, &root));
            let live = Arc::new(opening.await.map_err(|_| Missing::Defect)??);
            tokio::spawn(Live::watch(Arc::downgrade(&live)));
            Ok(live)
        });
        match opened.await {
            Ok(live) => {
                let live = live.clone();
                live.look().await;
                Ok(live)
            }
            Err(missing) => {
                self.lives().remove(id);
                Err(missing)
            }
        }
    }

    fn slot(&self, id: &str) -> Result<Arc<OnceCell<Arc<Live>>>, Missing> {
        let mut lives = self.lives();
        // Those that nobody has looked at for long go.
        lives.retain(|known, slot| known == id || slot.get().is_none_or(|live| !live.is_stale()));
        if !lives.contains_key(id) && lives.len() >= MOST_LIVES {
            let idle = lives
                .iter()
                .filter_map(|(id, slot)| Some((slot.get()?.idle_since()?, id.clone())));
            let (_, longest) = idle.min().ok_or(Missing::Busy)?;
            lives.remove(&longest);
        }
        Ok(lives.entry(id.to_owned()).or_default().clone())
    }

    fn lives(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<OnceCell<Arc<Live>>>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listing(index: &Index, version: u64) -> Listing {
    let places = index
        .places()
        .map(|(run, path)| (run.id.clone(), path.to_owned()));
    Listing {
        version,
        runs: index.runs().cloned().collect(),
        places: places.collect(),
        notes: index.notes().to_vec(),
        reading: None,
    }
}

/// Looks at the folders when somebody asks, and every few seconds while somebody watches.
fn look(mut index: Index, sender: &watch::Sender<Arc<Listing>>, poked: &Receiver<()>) {
    let mut version = 1;
    loop {
        let begun = Instant::now();
        let first = version == 1;
        let mut told = begun;
        let changed = index.refresh(|done, all| {
            if first && told.elapsed() > Duration::from_millis(300) {
                told = Instant::now();
                let before = sender.borrow().clone();
                sender.send_replace(Arc::new(Listing {
                    version,
                    runs: before.runs.clone(),
                    places: before.places.clone(),
                    notes: before.notes.clone(),
                    reading: Some((done, all)),
                }));
            }
        });
        if changed || first {
            version += 1;
            sender.send_replace(Arc::new(listing(&index, version)));
        }
        // Never more than a tenth of the time, however many runs there are.
        std::thread::sleep(
            (LOOK_EVERY / 2)
                .max(10 * begun.elapsed())
                .min(Duration::from_secs(60)),
        );
        // The app's own receiver is one.
        let waited = match sender.receiver_count() > 1 {
            true => poked.recv_timeout(LOOK_EVERY / 2),
            false => poked.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if waited == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
