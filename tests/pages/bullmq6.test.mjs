// A file for each major, so that they run side by side.
import { clicks } from './clicks.mjs';

clicks(6);
