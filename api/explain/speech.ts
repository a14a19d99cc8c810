/** How the one who asks wants to be spoken to, and what the answer says about that. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { SpeechQuery } from '../../contract/http/explanation.ts';
import { chooseLanguage } from '../desk/explain/language.ts';
import type { Speech } from '../desk/explain/render.ts';

/** Also tells caches that the answer is in one language of several. */
export function speechOf(request: FastifyRequest, reply: FastifyReply, { lang, timeZone }: SpeechQuery): Speech {
  const language = chooseLanguage(lang, request.headers['accept-language']);
  reply.header('content-language', language).header('vary', 'accept-language');
  return { language, timeZone: timeZone ?? 'UTC' };
}
