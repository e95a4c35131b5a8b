/** Character references that HTML takes without a semicolon behind them (WHATWG HTML §13.5), and so do linters. */
const names = `
  AElig AMP Aacute Acirc Agrave Aring Atilde Auml COPY Ccedil ETH Eacute Ecirc Egrave Euml GT Iacute Icirc
  Igrave Iuml LT Ntilde Oacute Ocirc Ograve Oslash Otilde Ouml QUOT REG THORN Uacute Ucirc Ugrave Uuml Yacute
  aacute acirc acute aelig agrave amp aring atilde auml brvbar ccedil cedil cent copy curren deg divide eacute
  ecirc egrave eth euml frac12 frac14 frac34 gt iacute icirc iexcl igrave iquest iuml laquo lt macr micro middot
  nbsp not ntilde oacute ocirc ograve ordf ordm oslash otilde ouml para plusmn pound quot raquo reg sect shy
  sup1 sup2 sup3 szlig thorn times uacute ucirc ugrave uml uuml yacute yen yuml`;

const reference = new RegExp(`&(?:#\\d|#[xX][0-9A-Fa-f]|${names.trim().split(/\s+/).join('|')})`);

/** Whether a text would be another one in a web page: a trace of one, and nobody's name. */
export function readsAsHtml(text: string): boolean {
  return reference.test(text);
}
