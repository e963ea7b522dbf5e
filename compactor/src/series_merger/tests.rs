use super::*;

fn metadata() -> SeriesMetadata {
    SeriesMetadata {
        order: Order::default(),
        entries: BTreeMap::from([("unit".to_owned(), "ms".to_owned())]),
    }
}

/// What stays of the metadata beside the first piece, when of each piece so many points were others' and so many are left.
fn word(pieces: &[(u64, usize)]) -> Option<SeriesMetadata> {
    let mut said = Said::of(3);
    let mut theirs = Some(metadata());
    for (others, ours) in pieces {
        let others = NotOwned {
            points: *others,
            highest: None,
        };
        let mut points = SeriesBuffer::default();
        points.values.resize(*ours, 0.5);
        said.add(theirs.take(), others, &points);
    }
    said.word()
}

#[test]
fn a_segment_has_a_word_on_a_series_where_any_piece_has_a_point_of_ours() {
    assert_eq!(word(&[(4, 0), (0, 1), (2, 0)]), Some(metadata()));
    assert_eq!(word(&[(0, 7), (4, 0)]), Some(metadata()));
    assert_eq!(word(&[(4, 0), (1, 0)]), None);
    // Deletes took its points, and others none.
    assert_eq!(word(&[(0, 0), (0, 0)]), Some(metadata()));
}

#[test]
fn what_a_record_of_ours_says_counts_before_what_a_later_one_of_others_says() {
    let said = |word, seals| {
        let mut metadata = metadata();
        metadata.order.seals = seals;
        Some((word, metadata))
    };
    let mut newest = None;
    for (next, expected) in [
        (said(Word::Others, 2), said(Word::Others, 2)),
        (said(Word::Ours, 1), said(Word::Ours, 1)),
        (said(Word::Others, 3), said(Word::Ours, 1)),
        (None, said(Word::Ours, 1)),
        (said(Word::Ours, 2), said(Word::Ours, 2)),
    ] {
        keep_weightiest(&mut newest, next);
        assert_eq!(newest, expected);
    }
}
