// The words of webhooks and deliveries.

/** What is sent to webhooks, by its name in the API: when, and what it is not. @type {Record<string, [words: string, hint: string]>} */
export const TOPICS = {
  'punch.created': ['A punch was recorded', 'At a kiosk, by a camera or by hand; not from an imported list.'],
  'punch.corrected': ['Punches changed by a correction', 'Only when a correction is approved, so that it counts.'],
  'correction.filed': ['A correction was entered', 'By an employee who asks for it, with “Not me” at a kiosk, or by a manager.'],
  'correction.decided': ['A correction was decided', 'Approved, rejected or withdrawn.'],
  'timesheet.submitted': ['A timesheet was submitted', 'It waits for an approval.'],
  'timesheet.approved': ['A timesheet was approved', 'Its hours are checked; they are final when it is locked.'],
  'timesheet.locked': ['A timesheet was locked', 'Its hours are final, for example for payroll.'],
  'timesheet.reopened': ['A timesheet was reopened', 'An admin withdrew its approval or its lock.'],
  'leave.requested': ['Leave was requested', 'It waits for a decision.'],
  'leave.decided': ['Leave was decided', 'Approved, rejected, withdrawn or canceled.'],
  'enrollment.changed': ['A face was enrolled or deleted', 'Without pictures.'],
  'exception.found': ['A punch out is missing', 'An hour after the end of the shift. Late arrivals and absences are not sent.'],
  'device.silent': ['A kiosk is silent', 'It has sent nothing for 15 minutes.'],
  'device.back': ['A silent kiosk is back', 'It sends again.'],
};

/** Returns what a topic is about, in words. @param {string} topic */
export const topicWords = (topic) => TOPICS[topic]?.[0] ?? topic;

/** The states of a webhook: the words, and their color. @type {Record<string, [words: string, tone: string]>} */
export const STATES = { on: ['On', 'in'], off: ['Paused', ''], disabled: ['Disabled', 'bad'] };

/** The states of a delivery. @type {Record<string, [words: string, tone: string]>} */
export const DELIVERIES = { waiting: ['Waiting', 'warn'], delivered: ['Delivered', 'in'], failed: ['Failed', 'bad'] };

/** Returns the host of an address, as `WEBHOOK_ALLOW` takes it. @param {string} url */
export const hostOf = (url) => (URL.canParse(url) ? new URL(url).hostname : url);

/** Whether an attempt failed because the address is not on the internet. @param {string | null | undefined} error */
export const isPrivate = (error) => error?.includes('WEBHOOK_ALLOW') ?? false;
