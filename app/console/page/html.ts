import htm from 'htm';
import { type ComponentChild, h } from 'preact';

/** Makes elements from a template: markup in which `${...}` stands for values and components. */
export const html = htm.bind(h) as (strings: TemplateStringsArray, ...values: unknown[]) => ComponentChild;
