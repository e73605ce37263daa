// The words of attendance for people, by their code in the API.

/** Whether an employee is there: the words, and their color. @type {Record<string, [words: string, tone: string, meaning: string]>} */
export const PRESENCE = {
  present: ['Present', 'in', 'At work now'],
  on_break: ['On a break', 'warn', 'At work, on a break now'],
  late: ['Late', 'bad', 'A shift has begun, and nobody came yet'],
  missing: ['Missing', 'bad', 'Nobody came, and the shift is over'],
  left: ['Left', 'out', 'Was there, and left'],
  on_leave: ['On leave', '', 'Not there, because of leave'],
  not_due: ['Not due', '', 'Not there, and not expected now'],
};

/** What may be wrong with a day. @type {Record<string, string>} */
export const EXCEPTIONS = {
  missing_out: 'No punch out: this span counts nothing',
  double_in: 'In while at work: the first one counts',
  stray_out: 'Out without an in',
  stray_break: 'A break punch that begins or ends nothing',
  missing_break_end: 'Out during a break',
  outside_employment: 'Work before the first or after the last day of employment',
  unplanned: 'Work on a day without a shift',
  work_on_leave: 'Work in time of leave',
  late: 'Came late',
  early: 'Left early',
  absence: 'Nobody was there for a shift',
  off_plan: 'There, but never when work was due',
  break_not_taken: 'Less break than planned',
  short_break: 'Less break than the rules ask for',
  long_day: 'More work than the rules allow in a day',
  short_rest: 'Less rest than the rules ask for',
};

/** The same in one or two words. @type {Record<string, string>} */
export const SHORT_EXCEPTIONS = {
  missing_out: 'No out',
  double_in: 'Double in',
  stray_out: 'Stray out',
  stray_break: 'Stray break',
  missing_break_end: 'Break not ended',
  outside_employment: 'Not employed',
  unplanned: 'Unplanned',
  work_on_leave: 'Worked on leave',
  late: 'Late',
  early: 'Early',
  absence: 'Absent',
  off_plan: 'Off plan',
  break_not_taken: 'Break not taken',
  short_break: 'Short break',
  long_day: 'Long day',
  short_rest: 'Short rest',
};

/** Exceptions that prevent an approval. */
export const BLOCKING = new Set(['missing_out', 'double_in', 'stray_out', 'stray_break', 'missing_break_end', 'outside_employment']);

/** The kinds of a punch. @type {Record<string, string>} */
export const KINDS = { in: 'In', out: 'Out', break_start: 'Break starts', break_end: 'Break ends' };

/** What a correction does. @type {Record<string, string>} */
export const ACTIONS = { add: 'Add a punch', void: 'Remove a punch', move: 'Move a punch' };

/** The states of a correction or a request for leave. @type {Record<string, [words: string, tone: string]>} */
export const DECISIONS = { requested: ['Waiting', 'warn'], approved: ['Approved', 'in'], rejected: ['Rejected', 'bad'], withdrawn: ['Withdrawn', ''], cancelled: ['Cancelled', ''] };

/** The states of a timesheet. @type {Record<string, [words: string, tone: string]>} */
export const PROGRESS = { open: ['Open', ''], submitted: ['Submitted', 'warn'], approved: ['Approved', 'in'], locked: ['Locked', 'out'] };

/** The figures of a day, in the order of their meaning. @type {Record<string, string>} */
export const FIGURES = {
  presence: 'Present',
  breaks: 'Unpaid breaks',
  paid_breaks: 'Paid breaks',
  auto_break: 'Break deducted',
  rounded_by: 'Rounding',
  worked: 'Worked',
  planned: 'Planned',
  holiday: 'Holiday',
  leave: 'Leave',
  due: 'Due',
  balance: 'Balance',
  late: 'Late',
  early: 'Left early',
  overtime: 'Overtime',
};

/** How a punch was made. @type {Record<string, string>} */
export const PROOFS = { face: 'Face', pin: 'PIN', badge: 'Badge', face_and_pin: 'Face and PIN', face_and_badge: 'Face and badge', manual: 'By hand', import: 'From another system' };

/** Why a punch has its kind, if the person did not choose it. @type {Record<string, string>} */
export const KIND_REASONS = {
  away: 'In, because the person was away',
  too_long_ago: 'In, because the last in was too long ago',
  next_shift: 'In, because the next shift was about to begin',
  on_break: 'Back, because the person was on a break',
  present: 'Out, because the person was at work',
};

/** Why a punch does not count, because of the time at which the device says it was made. @type {Record<string, string>} */
export const DOUBTS = {
  future: 'Does not count: the device gave a time in the future',
  too_old: 'Does not count: it arrived too long after the time that the device gave',
  before_last: 'Does not count: the device gave a time before an earlier punch',
};

/** How much of each date leave takes. @type {Record<string, string>} */
export const LEAVE_PARTS = { whole: 'Whole days', first_half: 'First half of the day', second_half: 'Second half of the day', hours: 'Some hours' };
