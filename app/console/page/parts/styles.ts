/** Loads a library's style once. */
export function addStyle(href: string): void {
  if (document.querySelector(`link[href="${href}"]`)) return;
  const link = document.createElement('link');
  link.rel = 'stylesheet';
  link.href = href;
  document.head.append(link);
}

let isAllowed = false;

/**
 * Lets the terminal's library style what it draws. The page's policy ignores style elements without
 * its nonce, and style attributes. The library (6.0) makes both, and its option for another
 * document does not reach all of them.
 */
export function allowStyles(): void {
  if (isAllowed) return;
  isAllowed = true;
  const create = document.createElement.bind(document);
  document.createElement = ((name: string, options?: ElementCreationOptions) => {
    const element = create(name, options);
    if (name === 'style') element.nonce = document.body.dataset.nonce ?? '';
    if (name === 'span') element.setAttribute = setAttribute;
    return element;
  }) as typeof document.createElement;
}

function setAttribute(this: HTMLElement, name: string, value: string): void {
  if (name === 'style') this.style.cssText = value;
  else HTMLElement.prototype.setAttribute.call(this, name, value);
}
