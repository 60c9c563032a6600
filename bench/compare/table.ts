/** Tables of the comparison, as text for a terminal and as Markdown. */

/** The first row is the head, the first column names the rows. */
export interface Table {
  readonly title: string;
  readonly rows: readonly (readonly string[])[];
}

export const thousands = (value: number): string =>
  value >= 100_000 ? `${Math.round(value / 1000)} k` : `${(value / 1000).toFixed(1)} k`;

/** Rows of other lengths than the head's would put figures under the wrong names. */
function checkRows({ title, rows }: Table): void {
  for (const row of rows)
    if (row.length !== rows[0]?.length) throw new Error(`'${title}': a row has ${row.length} cells`);
}

export function renderTextTable(table: Table): string {
  checkRows(table);
  const { title, rows } = table;
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  '),
  );
  return `${title}\n${lines.join('\n')}`;
}

export function renderMarkdownTable(table: Table): string {
  checkRows(table);
  const { title, rows } = table;
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const [head, ...body] = rows;
  return `**${title}**\n\n${[line(head!), line(head!.map(() => '---')), ...body.map(line)].join('\n')}`;
}
