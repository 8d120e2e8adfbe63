import { render } from 'preact';
import { App } from './app.ts';
import { html } from './html.ts';
import { signInByLink } from './session.ts';

const root = document.getElementById('app') as HTMLElement;
const problem = await signInByLink();
root.replaceChildren();
render(html`<${App} problem=${problem} />`, root);
