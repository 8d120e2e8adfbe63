import { useState } from 'preact/hooks';
import { html } from './html.ts';
import { Problem, useAction } from './parts/action.ts';
import { signInWithKey, signInWithPassword } from './session.ts';

/** Where one signs in: with an API key, or with a user's name and password. */
export function SignIn({ problem }: { problem: string | null }) {
  const [way, setWay] = useState<'key' | 'password'>('key');
  const { run, isBusy, problem: failure } = useAction();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => String(given.get(name) ?? '');
    void run(() =>
      way === 'key' ? signInWithKey(text('key')) : signInWithPassword(text('username'), text('password')),
    );
  };
  const choice = (value: typeof way, label: string) => html`
    <label><input type="radio" name="way" checked=${way === value} onChange=${() => setWay(value)} /> ${label}</label>
  `;
  return html`
    <main class="sign-in">
      <h1>Sandpit</h1>
      <form onSubmit=${submit}>
        <fieldset><legend>Sign in with</legend>${choice('key', 'an API key')}${choice('password', 'a password')}</fieldset>
        ${way === 'key' ? html`<${KeyField} />` : html`<${PasswordFields} />`}
        <button disabled=${isBusy}>Sign in</button>
        <${Problem} words=${failure ?? problem} />
      </form>
      <p class="note">
        What you enter is kept for this tab only. Make a key with <code>sandpit keys create --user NAME</code>, or a
        password with <code>sandpit users create NAME</code>.
      </p>
    </main>
  `;
}

function KeyField() {
  return html`
    <label>API key
      <input name="key" type="password" autocomplete="off" spellcheck=${false} required placeholder="e2b_..." />
    </label>
  `;
}

function PasswordFields() {
  return html`
    <label>User name <input name="username" autocomplete="username" required /></label>
    <label>Password <input name="password" type="password" autocomplete="current-password" required /></label>
  `;
}
