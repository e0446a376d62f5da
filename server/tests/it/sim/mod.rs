// SPDX-License-Identifier: Apache-2.0
//! Simulations: everything that is chosen comes from a seed, so a failure names the seed that repeats it.

mod check;
mod cuts;
mod flipped;
mod flips;
mod model;
mod recovery;
#[cfg(debug_assertions)]
mod sabotage;
mod seeds;
mod whole;
mod workload;
mod world;
