import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';

type Paths = OpenAPIObject['paths'];
type Content = Record<string, { schema?: object }>;
interface Response {
  content?: Content;
  headers?: Record<string, object>;
}

const problem = '#/components/schemas/ProblemDto';
const order = '#/components/schemas/OrderDto';

/** OpenAPI 3.1 of the service: the page at /docs, the document at /docs-json. @param answersOcsp  the responder is on */
export function serveApiDocument(app: NestFastifyApplication, answersOcsp: boolean): void {
  const description = new DocumentBuilder()
    .setTitle('nest-hsm certificate authority')
    .setDescription('Errors are problem documents (RFC 9457) with a stable `code`; docs/ERRORS.md lists every one.')
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An API token, or a JWT of a provider.' }, 'bearer')
    .setOpenAPIVersion('3.1.0')
    .build();
  const document = SwaggerModule.createDocument(app, description);
  // OpenAPI 3.1 has it, the builder's types have not.
  const mutualTls = { type: 'mutualTLS', description: 'A client certificate that the configuration maps.' };
  Object.assign(document.components?.securitySchemes ?? {}, { mutualTLS: mutualTls });
  for (const operation of operationsOf(document.paths)) {
    // A handler of two paths is called `name[0]` and `name[1]`, which no generator of clients can write.
    operation.operationId = operation.operationId?.replace(/\[(\d+)\]$/, '_$1');
    for (const response of Object.values(operation.responses) as Response[]) tellMediaTypes(response);
  }
  if (answersOcsp) Object.assign(document.paths, ocspPaths);
  SwaggerModule.setup('docs', app, document);
}

function operationsOf(paths: Paths): { operationId?: string; responses: object }[] {
  const methods = ['get', 'put', 'post', 'delete'] as const;
  return Object.values(paths).flatMap((item) => methods.flatMap((method) => item[method] ?? []));
}

/** The decorators give each answer of a route every media type of the route, and the JSON schema with each. */
function tellMediaTypes(response: Response): void {
  const { content = {} } = response;
  const schema = Object.values(content).find((each) => each.schema !== undefined)?.schema ?? {};
  const reference = '$ref' in schema ? schema.$ref : undefined;
  if (reference === problem) {
    response.content = { 'application/problem+json': { schema } };
    response.headers = { 'Retry-After': retryAfter };
  } else if (reference === order) response.content = { 'application/json': { schema } };
  else
    for (const [type, media] of Object.entries(content))
      if (type !== 'application/json') media.schema = /pem/.test(type) ? { type: 'string' } : octets;
}

const retryAfter = {
  description: 'Seconds, with 409 while the same is in progress, with 429 and with 503',
  schema: { type: 'integer' },
};

/** OpenAPI 3.1: octets as they are have no type. */
const octets = {};

const ocspAnswer = {
  responses: {
    '200': {
      description: 'An OCSPResponse, of whatever status: it is `unauthorized` for what this CA has not issued',
      content: { 'application/ocsp-response': { schema: octets } },
    },
  },
  tags: ['status'],
};

/** Plain routes of Fastify, which the decorators do not see. */
const ocspPaths: Paths = {
  '/v1/ocsp': {
    post: {
      ...ocspAnswer,
      operationId: 'OcspRoutes_post',
      summary: 'The status of certificates by OCSP (RFC 6960), with or without a nonce.',
      requestBody: { required: true, content: { 'application/ocsp-request': { schema: octets } } },
    },
  },
  '/v1/ocsp/{request}': {
    get: {
      ...ocspAnswer,
      operationId: 'OcspRoutes_get',
      summary: 'The status of a certificate by OCSP, in the form that caches keep (RFC 5019 §6).',
      parameters: [
        {
          name: 'request',
          in: 'path',
          required: true,
          description: 'An OCSPRequest in DER, in base64, escaped for a URL',
          schema: { type: 'string' },
        },
      ],
    },
  },
};
