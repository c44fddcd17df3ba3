//! Tar shards, Parquet files, packed files and flat folders: what they hold, batch by batch, and what is wrong with bad ones.

mod containers {
    mod bad_packed;
    mod bad_parquet;
    mod bad_tar;
    mod batches;
    mod flat_folder;
    mod made;
}
