/** Every error leaves as an RFC 9457 problem, whatever threw it: our rules, zod, Fastify, SQL or a bug. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors, isResponseSerializationError } from 'fastify-type-provider-zod';
import type { Problem } from '../../contract/http/resources.ts';
import { AppError, ERRORS, type ErrorCode, errorText } from '../../contract/kernel/errors.ts';
import type { Logger } from '../../contract/ports/services.ts';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

type FieldErrors = NonNullable<Problem['errors']>;

/** Fastify's own errors that a client causes, by its code. */
const FROM_FASTIFY: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'REQUEST_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'MEDIA_TYPE_UNSUPPORTED',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'REQUEST_INVALID',
  FST_ERR_CTP_INVALID_JSON_BODY: 'REQUEST_INVALID',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'REQUEST_INVALID',
  FST_ERR_BAD_URL: 'REQUEST_INVALID',
};

/** A request that breaks a rule no schema can say, told like a schema's own errors. */
export function invalidField(path: string, message: string): AppError {
  return new AppError('REQUEST_INVALID', `${path}: ${message}`, { facts: { errors: [{ path, message }] } });
}

export function problemOf(code: ErrorCode, requestId: string, detail?: string, errors?: FieldErrors): Problem {
  const { status, title, hint } = ERRORS[code];
  return {
    type: `urn:presage:problem:${code}`,
    title,
    status,
    code,
    hint,
    requestId,
    ...(detail ? { detail } : {}),
    ...(errors ? { errors } : {}),
  };
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  // Serialised here: the route's schemas describe the good answers.
  return reply.code(problem.status).type(PROBLEM_TYPE).serializer(String).send(JSON.stringify(problem));
}

export function registerProblems(app: FastifyInstance, logger: Logger): void {
  app.setErrorHandler((error: FastifyError, request, reply) => sendProblem(reply, toProblem(error, request, logger)));
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, problemOf('NOT_FOUND', request.id, 'there is no such route')),
  );
}

function toProblem(error: FastifyError, request: FastifyRequest, logger: Logger): Problem {
  if (hasZodFastifySchemaValidationErrors(error)) {
    const errors = error.validation.map((issue) => ({
      path: fieldPath(error.validationContext, issue.instancePath),
      message: issue.message ?? 'invalid',
    }));
    return problemOf('REQUEST_INVALID', request.id, errors[0] && `${errors[0].path}: ${errors[0].message}`, errors);
  }
  if (error instanceof AppError) return fromAppError(error, request, logger);
  const known = FROM_FASTIFY[error.code];
  if (known) return problemOf(known, request.id, error.message);
  // What else Fastify blames on the client (for example a forbidden key in a body): 4xx without a code of its own.
  if (error.statusCode && error.statusCode >= 400 && error.statusCode < 500) {
    return problemOf('REQUEST_INVALID', request.id, error.message);
  }
  const facts = { error: errorText(error), stack: error.stack, requestId: request.id, route: request.routeOptions.url };
  logger.error(facts, isResponseSerializationError(error) ? 'an answer breaks its own schema' : 'a request failed');
  return problemOf('INTERNAL', request.id);
}

function fromAppError(error: AppError, request: FastifyRequest, logger: Logger): Problem {
  const title = ERRORS[error.code].title;
  const detail = error.message.startsWith(`${title}: `) ? error.message.slice(title.length + 2) : undefined;
  if (error.status < 500) {
    return problemOf(error.code, request.id, detail, error.facts.errors as FieldErrors | undefined);
  }
  logger.warn({ code: error.code, error: error.message, requestId: request.id }, 'a request could not be served');
  // The inside of a failure (addresses, statements) is for the log only.
  return problemOf(error.code, request.id);
}

/** `body.model`, `query.limit`: JSON pointer with dots, below the part of the request it is in. */
function fieldPath(context: string | undefined, pointer: string | undefined): string {
  const part = context === 'querystring' ? 'query' : (context ?? 'request');
  return [part, ...(pointer ?? '').split('/').filter(Boolean)].join('.');
}
