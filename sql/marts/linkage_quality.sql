-- linkage_quality
--
-- How far this release's links can be relied on: estimated precision and recall, what blocking loses, records
-- that nothing can link, sizes of persons, drift since training, impossible lives, and who enters and leaves
-- each cohort at other thresholds. Small cells are withheld: a row says so instead of its numbers where its
-- denominator is between one and the county's threshold, or where its numerator counts people and it or what
-- it leaves is. Where that would leave one row of a division into parts to be found by subtraction, the next
-- smallest is withheld as well; the three rows of one cohort and threshold are withheld together. What counts
-- people is also withheld where a release of the same as-of date shows a count that differs by few.
--
-- Grain: one row per measure and slice.
-- Inputs: cohort_membership, impossible_life, linkage_measure, run_parameter, shown_linkage_quality
-- Order: measure, slice
-- Columns:
--   measure: What is measured.
--   slice: For whom or what: all, or what divides (source pair, sex, missing fields) and its part.
--   value: Numerator over denominator, unless the note says otherwise; empty where it is withheld.
--   numerator: What is counted, or a sum of probabilities.
--   denominator: Of how much.
--   note: How to read it, and in which direction it errs.
with at_threshold as (
    select
        cohort,
        is_member,
        'at 0.80' as threshold,
        coalesce(member_080, false) as is_member_there,
    from cohort_membership
    union all
    select
        cohort,
        is_member,
        'at 0.95' as threshold,
        coalesce(member_095, false) as is_member_there,
    from cohort_membership
    union all
    select
        cohort,
        is_member,
        'at 0.99' as threshold,
        coalesce(member_099, false) as is_member_there,
    from cohort_membership
),

cohort_count as (
    select
        cohort || ' ' || threshold as slice,
        count(*) filter (where is_member) as members,
        count(*) filter (where is_member_there) as members_there,
        count(*) filter (where is_member_there and not is_member) as entering,
        count(*) filter (where is_member and not is_member_there) as leaving,
    from at_threshold
    group by cohort, threshold
),

measured as (
    select
        measure,
        family,
        slice,
        value,
        numerator,
        denominator,
        note,
        counts_people,
    from linkage_measure
    union all
    select
        'impossible_life' as measure,
        'contradiction' as family,
        replace(contradiction, '_', ' ') as slice,
        count(*) filter (where impossible_encounters > 0) / count(*) as value,
        count(*) filter (where impossible_encounters > 0) as numerator,
        count(*) as denominator,
        'Of the persons met by both, the share who were in both places at once. Some are wrong times, not '
        || 'wrong links; two people who were never in two places at once are not seen.' as note,
        true as counts_people,
    from impossible_life
    group by contradiction
    union all
    select
        measure,
        'cohort' as family,
        slice,
        numerator / nullif(members, 0) as value,
        numerator,
        members as denominator,
        note,
        true as counts_people,
    from (
        select
            slice,
            members,
            'cohort_members' as measure,
            members_there as numerator,
            'Members if links were accepted from this probability, against members at the chosen threshold.'
                as note,
        from cohort_count
        union all
        select
            slice,
            members,
            'cohort_members_entering' as measure,
            entering as numerator,
            'Members at this probability who are none at the chosen threshold, against those.' as note,
        from cohort_count
        union all
        select
            slice,
            members,
            'cohort_members_leaving' as measure,
            leaving as numerator,
            'Members at the chosen threshold who are none at this probability, against all.' as note,
        from cohort_count
    ) as cohort_measure
),

change_since as (
    select
        measured.measure,
        measured.slice,
        run_parameter.small_cell_threshold as least,
        abs(measured.numerator - shown.numerator) as in_numerator,
        abs(measured.denominator - shown.denominator) as in_denominator,
        abs((measured.denominator - measured.numerator) - (shown.denominator - shown.numerator)) as in_rest,
    from measured
    inner join shown_linkage_quality as shown
        on measured.measure = shown.measure and measured.slice = shown.slice
    cross join run_parameter
    where measured.counts_people
),

changed_by_few as (
    select distinct
        measure,
        slice,
    from change_since
    where
        (in_numerator > 0 and in_numerator < least)
        or (in_denominator > 0 and in_denominator < least)
        or (in_rest > 0 and in_rest < least)
),

judged as (
    select
        measured.measure,
        measured.family,
        measured.slice,
        measured.value,
        measured.numerator,
        measured.denominator,
        measured.note,
        run_parameter.small_cell_threshold as least,
        coalesce(
            (measured.denominator > 0 and measured.denominator < run_parameter.small_cell_threshold)
            or (
                measured.counts_people
                and (
                    (measured.numerator > 0 and measured.numerator < run_parameter.small_cell_threshold)
                    or (
                        abs(measured.denominator - measured.numerator) > 0
                        and abs(measured.denominator - measured.numerator)
                        < run_parameter.small_cell_threshold
                    )
                )
            ),
            false
        )
        or changed_by_few.measure is not null as is_small,
        measured.family in (
            'source', 'source pair', 'sex', 'age_band', 'missing', 'missing on one side', 'clients'
        ) as is_a_division,
        if(measured.family = 'clients', measured.numerator, measured.denominator) as part,
    from measured
    left join changed_by_few
        on measured.measure = changed_by_few.measure and measured.slice = changed_by_few.slice
    cross join run_parameter
),

compared as (
    select
        *,
        bool_or(is_small)
            over (partition by family = 'cohort', if(family = 'cohort', slice, measure || slice))
            as is_withheld_itself,
        count(*) filter (where is_small) over (partition by measure, family) as withheld_parts,
        sum(part) filter (where is_small) over (partition by measure, family) as withheld_sum,
        row_number() over (partition by measure, family order by is_small or part = 0, part, slice) as place,
    from judged
),

withheld as (
    select
        *,
        is_withheld_itself
        or (
            is_a_division
            and place = 1
            and withheld_parts > 0
            and (withheld_parts = 1 or withheld_sum < least)
        ) as is_withheld,
    from compared
)

select
    measure,
    slice,
    if(is_withheld, null, value::double) as value,
    if(is_withheld, null, numerator::double) as numerator,
    if(is_withheld, null, denominator::double) as denominator,
    if(is_withheld, 'Withheld: the counts are small, or would give away one that is.', note) as note,
from withheld
