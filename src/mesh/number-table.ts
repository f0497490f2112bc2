// SPDX-License-Identifier: Apache-2.0

/** No row; every column of a new row. */
export const NONE = -1;

const ROWS_FIRST = 64;

/**
 * Rows of 32-bit numbers in named columns, four bytes each: for what is too many to be objects.
 *
 * `remove` gives a row back, and a later `add` uses it again, so the table is as large as it ever had to be. Who removes a
 * row has nothing left that points to it.
 */
export class NumberTable<Column extends string> {
  readonly #columns: ReadonlyMap<Column, number>;
  readonly #width: number;
  #cells: Int32Array;
  /** Rows ever used. */
  #height = 0;
  /** The first of the removed rows; each has the next one in its first column. */
  #removed = NONE;
  #size = 0;

  constructor(columns: readonly Column[]) {
    this.#columns = new Map(columns.map((column, index) => [column, index]));
    this.#width = columns.length;
    this.#cells = new Int32Array(ROWS_FIRST * this.#width);
  }

  get size(): number {
    return this.#size;
  }

  add(): number {
    this.#size++;
    let row = this.#removed;
    if (row === NONE) {
      row = this.#height++;
      if (row * this.#width >= this.#cells.length) this.#grow();
    } else {
      this.#removed = this.#cells[row * this.#width] ?? NONE;
    }
    this.#cells.fill(NONE, row * this.#width, (row + 1) * this.#width);
    return row;
  }

  remove(row: number): void {
    this.#size--;
    this.#cells[row * this.#width] = this.#removed;
    this.#removed = row;
  }

  get(row: number, column: Column): number {
    return this.#cells[row * this.#width + this.#offset(column)] ?? NONE;
  }

  set(row: number, column: Column, value: number): void {
    this.#cells[row * this.#width + this.#offset(column)] = value;
  }

  #offset(column: Column): number {
    return this.#columns.get(column) ?? 0;
  }

  #grow(): void {
    const larger = new Int32Array(this.#cells.length * 2);
    larger.set(this.#cells);
    this.#cells = larger;
  }
}
