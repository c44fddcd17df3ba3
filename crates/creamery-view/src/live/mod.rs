//! The live view of a run in a terminal.
//!
//! The observer only writes down what happened; a thread of its own draws, a few times a second, and reads the keys.
//! So a slow terminal never holds the training up.

mod history;
mod screen;

use std::io::{self, IsTerminal, Stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use creamery_train::event::{Event, Observer};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::crossterm::{cursor, execute};

use crate::Progress;
use history::History;

/// The time between two pictures: with one thread for everything, the drawing takes from the training.
const PICTURE: Duration = Duration::from_millis(500);
/// The longest that a key waits, and the end of the run.
const KEYS: Duration = Duration::from_millis(50);

/// The smallest terminal that the view fits, in columns and rows.
const SMALLEST: (u16, u16) = (60, 16);

/// Whether a view is on the terminal right now.
static ON: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back, if a view is on it: before the process ends in another way than by dropping the [`Live`],
/// or something else is to be written.
pub fn restore_terminal() {
    if ON.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _ = disable_raw_mode();
        let _ = execute!(io::stderr(), LeaveAlternateScreen, cursor::Show);
    }
}

/// Whether a view is on the terminal, so that nothing else should be written there.
pub fn terminal_is_taken() -> bool {
    ON.load(Ordering::SeqCst)
}

/// What the view tells of stopping, and how it asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Interrupt {
    /// Becomes true when the run has been asked to stop.
    pub asked: &'static AtomicBool,
    /// What Ctrl-C does: the terminal sends no signal while the view reads its keys. The second time the terminal
    /// has been given back before.
    pub ask: fn(),
}

/// A live view on standard error: progress and time left, curves of loss and accuracy, the board, warnings.
///
/// `q` leaves it for plain progress, and the run goes on. Dropping it gives the terminal back.
pub struct Live {
    shared: Arc<Mutex<Shared>>,
    drawer: Option<JoinHandle<()>>,
    /// Takes over when the view is left; silent until then.
    plain: Progress,
}

struct Shared {
    history: History,
    /// The user has left the view, or the run is over.
    left: bool,
}

impl Live {
    /// Takes the terminal, if standard error is one that is large enough; `None` otherwise. `title` says what runs.
    pub fn start(title: &str, interrupt: Interrupt) -> Option<Self> {
        let fits = |(columns, rows)| columns >= SMALLEST.0 && rows >= SMALLEST.1;
        if !io::stderr().is_terminal()
            || !io::stdin().is_terminal()
            || std::env::var_os("TERM").is_some_and(|name| name == "dumb")
            || !in_foreground()
            || !size().is_ok_and(fits)
        {
            return None;
        }
        let terminal = take_terminal().ok()?;
        let shared = Arc::new(Mutex::new(Shared {
            history: History::new(title),
            left: false,
        }));
        let theirs = Arc::clone(&shared);
        let drawer = std::thread::Builder::new()
            .name("view".into())
            .spawn(move || draw(terminal, &theirs, interrupt));
        match drawer {
            Ok(drawer) => Some(Self {
                shared,
                drawer: Some(drawer),
                plain: Progress::silent(),
            }),
            Err(_) => {
                restore_terminal();
                None
            }
        }
    }

    /// Ends the thread, which gives the terminal back.
    fn leave(&mut self) {
        lock(&self.shared).left = true;
        if let Some(drawer) = self.drawer.take() {
            // If it panicked the terminal was given back by the hook.
            let _ = drawer.join();
        }
        restore_terminal();
    }
}

impl Observer for Live {
    fn observe(&mut self, event: &Event) {
        if self.drawer.is_some() {
            let mut shared = lock(&self.shared);
            shared.history.update(event);
            let left = shared.left;
            drop(shared);
            if left {
                self.leave();
                self.plain.speak();
            }
        }
        self.plain.observe(event);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.drawer.is_some() {
            self.leave();
            // The view's last picture is gone with it: what must not be missed is said again.
            for warning in &lock(&self.shared).history.warnings {
                eprintln!("warning: {warning}");
            }
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the terminal listens to this process: the system stops one that takes it from the background.
#[cfg(unix)]
fn in_foreground() -> bool {
    let group = rustix::termios::tcgetpgrp(io::stdin());
    group.is_ok_and(|group| group == rustix::process::getpgrp())
}

#[cfg(not(unix))]
fn in_foreground() -> bool {
    true
}

type Screen = Terminal<CrosstermBackend<Stderr>>;

fn take_terminal() -> io::Result<Screen> {
    static HOOKED: AtomicBool = AtomicBool::new(false);
    if !HOOKED.swap(true, Ordering::SeqCst) {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore_terminal();
            before(info);
        }));
    }
    enable_raw_mode()?;
    ON.store(true, Ordering::SeqCst);
    let taken = execute!(io::stderr(), EnterAlternateScreen, cursor::Hide)
        .and_then(|()| Terminal::new(CrosstermBackend::new(io::stderr())));
    if taken.is_err() {
        restore_terminal();
    }
    taken
}

/// Draws and reads keys until the view is left.
fn draw(mut terminal: Screen, shared: &Mutex<Shared>, interrupt: Interrupt) {
    let mut drawn: Option<Instant> = None;
    while !lock(shared).left {
        if drawn.is_none_or(|at| at.elapsed() >= PICTURE) {
            // The training does not wait for the terminal: what is drawn is a copy.
            let history = lock(shared).history.clone();
            let stopping = interrupt.asked.load(Ordering::Relaxed);
            let picture = terminal.draw(|frame| screen::draw(frame, &history, stopping));
            if picture.is_err() {
                break;
            }
            drawn = Some(Instant::now());
        }
        match key() {
            Key::None => {}
            Key::Resized => drawn = None,
            Key::Leave => {
                lock(shared).left = true;
                restore_terminal();
            }
            Key::Interrupt => {
                if interrupt.asked.load(Ordering::Relaxed) {
                    restore_terminal();
                }
                (interrupt.ask)();
                drawn = None;
            }
        }
    }
    restore_terminal();
}

enum Key {
    None,
    Resized,
    Leave,
    Interrupt,
}

/// The next key that means something, or none within [`KEYS`].
fn key() -> Key {
    match event::poll(KEYS) {
        Ok(true) => {}
        Ok(false) => return Key::None,
        Err(_) => {
            // No keys can be read: the pictures go on at their pace.
            std::thread::sleep(KEYS);
            return Key::None;
        }
    }
    match event::read() {
        Ok(Input::Key(KeyEvent {
            code: KeyCode::Char('c'),
            modifiers: KeyModifiers::CONTROL,
            ..
        })) => Key::Interrupt,
        Ok(Input::Key(KeyEvent {
            code: KeyCode::Char('q') | KeyCode::Esc,
            ..
        })) => Key::Leave,
        Ok(Input::Resize(..)) => Key::Resized,
        _ => Key::None,
    }
}
