// Errors of the client.

/** @typedef {{field: string, message: string}} Fault */

/** A request or an event that failed. */
export class EddylineError extends Error {
  name = "EddylineError";

  /**
   * @param {string} code an error code of the protocol, or `network`, `timeout`, `closed`, `outbox_full`
   * @param {string} message
   * @param {{status?: number, faults?: Fault[], retryAfter?: number | null, cause?: unknown}} [more]
   */
  constructor(code, message, { status = 0, faults = [], retryAfter = null, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    /** The status of the answer; 0 without one. */
    this.status = status;
    /** The invalid fields. */
    this.faults = faults;
    /** The pause that the server asks for, in seconds. */
    this.retryAfter = retryAfter;
  }
}
