// Rows as Python sends them, short of names, and the names it sent once.

/**
 * A row as an object; a row may lack some of the fields at its end.
 *
 * @template {string} Field
 * @template Value
 * @param {Field[]} fields
 * @param {Value[]} row
 */
export const namedRow = (fields, row) =>
  /** @type {Record<Field, Value>} */ (Object.fromEntries(row.map((value, i) => [fields[i], value])));
