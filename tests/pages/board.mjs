// board.mjs - bull-board on the private Redis of a test, in a headless Chromium. What a person does with it, in words:
// open a queue's tab, read a card, press a button, confirm. Buttons without a text are known by their icon.
import { createRequire } from 'node:module';
import * as fs from 'node:fs';
import { waitUntil, patience } from '../interop/rig.mjs';

const require = createRequire(import.meta.url);
const express = require('express');
const { createBullBoard } = require('@bull-board/api');
const { BullMQAdapter } = require('@bull-board/api/bullMQAdapter');
const { ExpressAdapter } = require('@bull-board/express');
const { chromium } = require('playwright-core');

const browserPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((file) => fs.existsSync(file));
const icons = { retry: 'refresh-cw', duplicate: 'files', edit: 'pencil', remove: 'trash2', promote: 'corner-up-left', delay: 'clock' };

/** A job's card: on a tab of the queue, or the only one of its own page. */
class Card {
  constructor(board, locator) {
    Object.assign(this, { board, locator });
  }

  /** Opens one of its tabs (Data, Options, Logs, Error…) and waits until that stands in the card. */
  async shows(tab, pattern) {
    await this.locator.getByRole('tab', { name: tab, exact: true }).click();
    await waitUntil(async () => pattern.test(await this.locator.innerText()), 15000,
      async () => `${tab} shows ${pattern}, it shows: ${await this.locator.innerText()}`);
  }

  button(what) {
    return this.locator.locator(`button:has(svg.lucide-${icons[what]})`);
  }

  async press(what) {
    await this.button(what).click();
  }
}

export class Board {
  /** queues: stock Queue objects of any major. */
  static async open(rig, queues) {
    const board = new Board();
    board.errors = [];
    const serverAdapter = new ExpressAdapter();
    createBullBoard({ queues: queues.map((queue) => new BullMQAdapter(queue)), serverAdapter });
    const app = express();
    app.use('/', serverAdapter.getRouter());
    const server = app.listen(0, '127.0.0.1');
    rig.ends.push(async () => { server.closeAllConnections(); server.close(); });
    await new Promise((resolve) => server.once('listening', resolve));
    board.address = `http://127.0.0.1:${server.address().port}`;
    if (!browserPath) throw new Error('no Chromium here (./dev deps pages)');
    // Root has no sandbox, and a container little of /dev/shm.
    const browser = await chromium.launch({
      executablePath: browserPath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    });
    rig.ends.push(() => browser.close());
    const context = await browser.newContext({ viewport: { width: 1400, height: 1000 } });
    // The page asks for a font and its newest version on the internet: whatever is not ours does not exist.
    await context.route((url) => url.origin !== board.address, (route) => route.abort());
    board.page = await context.newPage();
    board.page.setDefaultTimeout(15000 * patience);
    board.page.on('pageerror', (error) => board.errors.push(`page: ${error.message}`));
    board.page.on('response', (response) => {
      if (response.status() >= 400) board.errors.push(`${response.status()} ${response.request().method()} ${response.url()}`);
    });
    return board;
  }

  /** The tab of a state; LATEST without one. */
  async go(queue, status = '') {
    await this.page.goto(`${this.address}/queue/${queue}${status ? `?status=${status}` : ''}`);
    await this.page.locator('main [data-text="LATEST"]').waitFor();
  }

  /** The number beside a tab's name; 0 when there is none. */
  async count(state) {
    const tab = this.page.locator('main a', { has: this.page.locator(`[data-text="${state}"]`) });
    const number = (await tab.innerText()).replace(state, '').trim();
    return number === '' ? 0 : Number(number);
  }

  /** The card of a job on the open tab. */
  async card(id) {
    const locator = this.page.locator('main [class*="card"]', { has: this.page.getByText(`#${id}`, { exact: true }) }).first();
    await locator.waitFor();
    return new Card(this, locator);
  }

  /** The page of one job. */
  async job(queue, id) {
    await this.page.goto(`${this.address}/queue/${queue}/${encodeURIComponent(id)}`);
    return new Card(this, this.page.locator('main'));
  }

  async confirm() {
    const dialog = this.page.getByRole('alertdialog');
    await dialog.getByRole('button', { name: 'Confirm' }).click();
    await dialog.waitFor({ state: 'hidden' });
  }

  async press(text) {
    await this.page.locator('main').getByRole('button', { name: text }).click();
  }

  /** An entry of the queue's ⋮ menu. */
  async menu(text) {
    await this.page.locator('main button[aria-haspopup=menu]').click();
    await this.page.getByRole('menuitem', { name: text }).click();
  }

  get dialog() {
    return this.page.getByRole('dialog');
  }

  /** Replaces the text of the n-th editor in the open dialog. */
  async type(text, n = 0) {
    const editor = this.dialog.getByRole('textbox').and(this.page.locator('.cm-content')).nth(n);
    await editor.click();
    await this.page.keyboard.press('Control+A');
    await this.page.keyboard.insertText(text);
  }

  /** Numbers into the open dialog's fields, in their order, and Save. */
  async save(...numbers) {
    for (const [n, number] of numbers.entries()) await this.dialog.getByRole('spinbutton').nth(n).fill(String(number));
    await this.submit('Save');
  }

  async submit(text) {
    await this.dialog.getByRole('button', { name: text, exact: true }).click();
    await this.dialog.waitFor({ state: 'hidden' });
  }
}

/** Until a set of the queue holds exactly these ids, in any order. */
export async function waitIn(queue, state, ids) {
  const wanted = ids.map(String).sort().join(' ');
  const found = async () => (await queue.getJobs([state])).map((job) => job?.id).sort().join(' ');
  await waitUntil(async () => (await found()) === wanted, 15000, async () => `${state}: ${wanted}, there are: ${await found()}`);
}
