-- program_definition
--
-- The rules by which `program_screen` looks for people whom a program might help, where each is published,
-- and what the data cannot see of it. A screen for outreach review, never an eligibility decision: no one
-- is admitted or refused because of it.
--
-- Grain: one row per program.
-- Inputs: run_parameter
-- Order: program
-- Columns:
--   program: Name of the program.
--   label: Its title.
--   rule: The screen in words, as the data allow it.
--   source: Where the rule is published.
--   cannot_see: What the program asks and the data cannot tell.
--   rests_on_sud: Whether being in the screen says that a substance use disorder was recorded.
select
    definition.program,
    definition.label,
    definition.rule,
    definition.source,
    definition.cannot_see,
    definition.rests_on_sud,
from run_parameter
cross join
    (
        values
        (
            'act',
            'Assertive community treatment',
            'A serious mental illness recorded in 24 months, and two or more hospital admissions with it in '
            || '12 months; or two or more bookings, or two or more psychiatric admissions, in 180 days.',
            'Two hospitalizations in a year (PMC2712922); the alternatives follow the admission criteria of '
            || 'Georgia DBHDD.',
            'Functional impairment, consent, services received outside the sources, and whether a booking '
            || 'was related to behavioral health.',
            false
        ),
        (
            'fact',
            'Forensic assertive community treatment',
            'A serious mental illness recorded in 24 months, and three or more bookings in 12 months.',
            'Severe and persistent mental illness and three or more jail detentions in a year (PMC2712922).',
            'Whether the illness is persistent, whether a court agrees, and bookings in other counties.',
            false
        ),
        (
            'supportive_housing',
            'Permanent supportive housing',
            'A disabling condition or a serious mental illness recorded; in shelter in the last 90 days; '
            || 'and one occasion of homelessness of twelve months or more, or four or more occasions in 36 '
            || 'months that add up to twelve months.',
            'Chronic homelessness, 24 CFR 578.3 and 80 FR 75791.',
            'Nights outdoors or in places not meant for habitation that no shelter recorded, so many more '
            || 'may qualify; the documentation that HUD asks for.',
            false
        ),
        (
            'reentry',
            'Reentry support',
            'Released to the community 30 to 120 days ago, with a serious mental illness by the jail''s '
            || 'assessment, not in custody now, and no behavioral-health contact within 30 days of release.',
            'Stepping Up, third key measure: connection to care after release, within 30 days.',
            'Care from providers who deliver nothing here, and releases followed by a month of which a '
            || 'source of care delivered nothing.',
            false
        ),
        (
            'integrated_treatment',
            'Integrated mental health and substance use treatment',
            'A serious mental illness and a substance use disorder, both recorded in 24 months.',
            'Co-occurring disorders: integrated treatment (SAMHSA evidence-based practice).',
            'Severity, readiness, and disorders that no source recorded.',
            true
        )
    ) as definition (program, label, rule, source, cannot_see, rests_on_sud)
