//! What ranks do together, with threads for ranks.

#[path = "support/threads.rs"]
mod threads;

use burn::tensor::{Device, Tensor};
use creamery_train::Ranks;
use creamery_train::collective::{BUCKET, Flat, mean};
use threads::on_ranks;

fn tensor(values: Vec<f32>) -> Tensor<1> {
    Tensor::from_data(&values[..], &Device::flex())
}

fn values(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.to_data().try_into_vec().unwrap()
}

#[test]
fn tensors_come_back_as_their_means_however_they_fill_buckets() {
    // Around the edges of a bucket, and over several of them.
    for lengths in [
        vec![1],
        vec![3, BUCKET - 4, 5],
        vec![BUCKET, 1],
        vec![7, 2 * BUCKET + 9],
    ] {
        on_ranks(3, |ranks| {
            let own = ranks.rank() as f32;
            let value = |i: usize, k: usize| (i % 11) as f32 + 100.0 * k as f32;
            let mut tensors: Vec<_> = lengths
                .iter()
                .enumerate()
                .map(|(k, len)| tensor((0..*len).map(|i| value(i, k) + own * 3.0).collect()))
                .collect();
            let mut scalars = [1.5, f64::from(own)];
            mean(ranks, &mut tensors, &mut scalars);
            assert_eq!(scalars, [4.5, 3.0]);
            for (k, tensor) in tensors.iter().enumerate() {
                for (i, found) in values(tensor).into_iter().enumerate() {
                    let expected = value(i, k) + 3.0;
                    assert!((found - expected).abs() <= 1e-4, "{found} {expected}");
                }
            }
            let bytes = 4 * (lengths.iter().sum::<usize>() + 3) as u64;
            assert_eq!(ranks.summed_bytes(), bytes);
        });
    }
}

#[test]
fn alone_nothing_is_touched() {
    let mut tensors = [tensor(vec![1.0, 2.0])];
    let mut scalars = [7.0];
    mean(Ranks::default(), &mut tensors, &mut scalars);
    assert_eq!((values(&tensors[0]), scalars), (vec![1.0, 2.0], [7.0]));
    assert_eq!(
        Ranks::default().share_out(3, Ok::<_, ()>),
        Ok(vec![0, 1, 2])
    );
    assert!(Ranks::default().stop(true) && !Ranks::default().stop(false));
}

#[test]
fn things_that_are_shared_out_are_made_once_and_come_in_order() {
    for (count, size) in [(0, 2), (1, 3), (7, 3), (4, 4), (3, 1)] {
        let made = on_ranks(size, |ranks| {
            let mut own = Vec::new();
            let all = ranks.share_out(count, |index| {
                own.push(index);
                Ok::<_, ()>(10 * index)
            });
            assert_eq!(all.unwrap(), (0..count).map(|i| 10 * i).collect::<Vec<_>>());
            own
        });
        let mut made: Vec<usize> = made.into_iter().flatten().collect();
        made.sort_unstable();
        assert_eq!(made, (0..count).collect::<Vec<_>>());
    }
}

/// A rank that is asked to stop does not stop before the others know.
#[test]
fn all_ranks_stop_at_the_same_step() {
    let stopped = on_ranks(3, |ranks| {
        for step in 0.. {
            // Rank 1 is asked before step 4.
            if ranks.stop(ranks.rank() == 1 && step >= 4) {
                return step;
            }
            let mut flat = Flat::new(ranks);
            flat.push(&tensor(vec![1.0]));
            assert_eq!(flat.finish().next(1), [3.0]);
        }
        unreachable!("it stops")
    });
    assert_eq!(stopped, [5, 5, 5]);
}

#[test]
fn words_go_round() {
    on_ranks(2, |ranks| {
        assert_eq!(ranks.broadcast(format!("rank {}", ranks.rank())), "rank 0");
        assert_eq!(ranks.gather(&ranks.rank()), [0, 1]);
        assert_eq!(ranks.sum([1.0, 0.25]), [2.0, 0.5]);
        assert!(ranks.any(ranks.rank() == 1));
        assert!(!ranks.any(false));
        assert_eq!(ranks.broadcast_bytes(vec![ranks.rank() as u8; 3]), [0; 3]);
        ranks.barrier();
    });
}
