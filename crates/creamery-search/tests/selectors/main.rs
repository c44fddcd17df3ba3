//! The selectors against a table of scores instead of a supernet.

mod algorithms;
mod log;
mod table;
