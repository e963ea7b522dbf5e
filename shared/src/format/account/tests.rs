use proptest::prelude::*;
use prost::Message;

use super::*;

type Row = (u64, u64, u64, u64, u64, u64);

fn accounts(rows: BTreeMap<u64, Row>, unreadable_records: u64) -> OrgAccounts {
    let mut accounts = OrgAccounts {
        unreadable_records,
        ..OrgAccounts::default()
    };
    for (org, row) in rows {
        let (points_in, duplicates, not_owned, deleted, expired, quarantined_records) = row;
        let counts = OrgCounts {
            points_in,
            duplicates,
            not_owned,
            deleted,
            expired,
            quarantined_records,
        };
        accounts.count(OrgId(org), counts);
        if not_owned > 0 {
            accounts.mark_not_owned(OrgId(org), TimestampMs(duplicates.cast_signed()));
        }
    }
    accounts
}

fn sample(orgs: OrgAccounts) -> Account {
    Account {
        shard: ShardId::Dedicated(OrgId(9)),
        expected_generation: Generation(4),
        orgs,
    }
}

proptest! {
    #[test]
    fn every_account_reads_back_and_no_damage_panics(
        rows: BTreeMap<u64, Row>,
        unreadable: u64,
        at: prop::sample::Index,
        flip in 1_u8..,
    ) {
        let (id, account) = (WriteId::random(), sample(accounts(rows, unreadable)));
        let mut bytes = account.encode(id).to_vec();
        prop_assert_eq!(Account::decode(&bytes).unwrap(), (id, account));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Account::decode(&bytes).is_err());
        prop_assert!(Account::decode(&bytes[..at]).is_err());
    }

    #[test]
    fn a_body_of_any_bytes_is_read_as_it_is_or_refused(
        rows: BTreeMap<u64, Row>,
        at: prop::sample::Index,
        with: u8,
    ) {
        let mut bytes = OrgsBody::of(&accounts(rows, 1)).encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(body) = OrgsBody::decode(&bytes[..]) && let Ok(read) = body.read() {
            let again = OrgsBody::decode(&OrgsBody::of(&read).encode_to_vec()[..]).unwrap();
            prop_assert_eq!(again.read(), Ok(read));
        }
    }

    #[test]
    fn sums_do_not_depend_on_how_steps_are_cut(
        rows in prop::collection::vec((0_u64..5, [0_u64..99, 0..99, 0..99, 0..99, 0..99, 0..99]), 0..20),
        cut: prop::sample::Index,
    ) {
        let of = |rows: &[(u64, [u64; 6])]| {
            let mut sum = OrgAccounts::default();
            for (org, [a, b, c, d, e, f]) in rows {
                let row = (*a, *b, *c, *d, *e, *f);
                sum.add(&accounts(BTreeMap::from([(*org, row)]), 1));
            }
            sum
        };
        let whole = of(&rows);
        let (before, after) = rows.split_at(cut.index(rows.len() + 1));
        let mut joined = of(before);
        joined.add(&of(after));
        prop_assert_eq!(joined.sum(), whole.sum());
        prop_assert_eq!(&joined, &whole);
        // What was marked stays marked.
        let mut left = of(before);
        left.highest_not_owned.clone_from(&whole.highest_not_owned);
        prop_assert_eq!(whole.without(&of(after)), Some(left));
    }
}

#[test]
fn more_points_than_came_in_have_not_gone() {
    let counts = OrgCounts {
        points_in: 3,
        duplicates: 1,
        deleted: 1,
        expired: 1,
        ..OrgCounts::default()
    };
    assert_eq!(counts.live_points(), Some(0));
    let more = OrgCounts {
        not_owned: 1,
        ..counts
    };
    assert_eq!(more.live_points(), None);
}

#[test]
fn more_than_an_org_has_cannot_be_given_back() {
    let counts = |duplicates| OrgCounts {
        points_in: 9,
        duplicates,
        ..OrgCounts::default()
    };
    let of = |org, duplicates| {
        let mut orgs = OrgAccounts::default();
        orgs.count(OrgId(org), counts(duplicates));
        orgs
    };
    assert_eq!(of(1, 2).without(&of(1, 2)), Some(OrgAccounts::default()));
    assert_eq!(of(1, 2).without(&of(1, 3)), None);
    assert_eq!(of(1, 2).without(&of(2, 0)), None);
}
