//! What the targets begin with, cut and changed everywhere.

use countersign_fuzz::TARGETS;

#[test]
fn sound_inputs_cut_and_changed() {
    for target in &TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty() && seeds.iter().all(|seed| !seed.is_empty()), "{}", target.name);
        for seed in seeds {
            (target.run)(&seed);
            for at in 0..seed.len() {
                (target.run)(&seed[..at]);
                for with in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = seed.clone();
                    changed[at] ^= with;
                    (target.run)(&changed);
                }
            }
        }
    }
}
