//! Gradients of layers told while the rest of the backward pass is still to come.

use std::cell::RefCell;

/// Is told the flat gradient of a layer's parameters.
pub type Listener = Box<dyn FnMut(&[f32])>;

thread_local! {
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Takes the listener away, after a panic too.
struct Listening;

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENER.set(None);
    }
}

/// Does `backward` with a listener to the gradients that this thread finds meanwhile.
pub(crate) fn listening<T>(listener: Listener, backward: impl FnOnce() -> T) -> T {
    LISTENER.set(Some(listener));
    let _listening = Listening;
    backward()
}

/// Tells whoever listens.
pub(super) fn tell(gradient: &[f32]) {
    LISTENER.with_borrow_mut(|listener| {
        if let Some(listener) = listener {
            listener(gradient);
        }
    });
}
