// The words of webhooks and deliveries.

/** What is sent to webhooks, by its name in the API. @type {Record<string, string>} */
export const TOPICS = {
  'punch.created': 'A punch was recorded',
  'punch.corrected': 'A correction was approved',
  'correction.filed': 'A correction was requested or made',
  'correction.decided': 'A correction was decided',
  'timesheet.submitted': 'A timesheet was submitted',
  'timesheet.approved': 'A timesheet was approved',
  'timesheet.locked': 'A timesheet was locked',
  'timesheet.reopened': 'A timesheet was unlocked',
  'leave.requested': 'Leave was requested',
  'leave.decided': 'Leave was decided',
  'enrollment.changed': 'A face was enrolled or deleted',
  'exception.found': 'A punch out is missing',
  'device.silent': 'A kiosk fell silent',
  'device.back': 'A silent kiosk reports again',
};

/** The states of a webhook: the words, and their color. @type {Record<string, [words: string, tone: string]>} */
export const STATES = { on: ['On', 'in'], off: ['Paused', ''], disabled: ['Disabled', 'bad'] };

/** The states of a delivery. @type {Record<string, [words: string, tone: string]>} */
export const DELIVERIES = { waiting: ['Waiting', 'warn'], delivered: ['Delivered', 'in'], failed: ['Failed', 'bad'] };

/** Returns the host of an address, as `WEBHOOK_ALLOW` takes it. @param {string} url */
export const hostOf = (url) => (URL.canParse(url) ? new URL(url).hostname : url);

/** Whether an attempt failed because the address is not on the internet. @param {string | null | undefined} error */
export const isPrivate = (error) => error?.includes('WEBHOOK_ALLOW') ?? false;
